//! `web_proxy_for` gives what net/http.ProxyFromEnvironment gives.

use crate::fixture::program;
use gmtrace_core::event::{Setting, SettingOrigin};
use gmtrace_core::settings::web_proxy_for;
use std::process::Command;

const URLS: [&str; 18] = [
    "https://proxy.example.com/m",
    "http://proxy.example.com/m",
    "https://PROXY.example.com:8443/m",
    "https://example.com/",
    "https://a.b.example.com/",
    "https://notexample.com/",
    "http://localhost/",
    "https://localhost:8443/",
    "http://127.0.0.1:8080/",
    "http://127.9.9.9/",
    "https://[::1]/",
    "http://192.0.2.7/",
    "https://192.0.2.7:8443/",
    "https://192.0.3.7/",
    "https://[2001:db8::1]/",
    "https://[2001:db9::1]:8443/",
    "https://b\u{fc}cher.example/",
    "https://x.local/",
];

const ENVIRONMENTS: [&[(&str, &str)]; 22] = [
    &[],
    &[("HTTPS_PROXY", "http://[::1"), ("HTTP_PROXY", "http://")],
    &[("HTTPS_PROXY", "[::1"), ("HTTP_PROXY", "http:// p.test")],
    &[
        ("HTTP_PROXY", "http://squid.example.com:3128"),
        ("HTTPS_PROXY", "http://squid.example.com:3129"),
    ],
    &[("http_proxy", "squid.example.com:3128"), ("https_proxy", "squid.example.com")],
    &[("HTTPS_PROXY", ""), ("https_proxy", "https://squid.example.com")],
    &[("HTTPS_PROXY", "https://upper.example.com"), ("https_proxy", "https://lower.example.com")],
    &[
        ("HTTPS_PROXY", "socks5://user:pw@socks.example.com"),
        ("HTTP_PROXY", "socks5h://[2001:db8::9]:9050"),
    ],
    &[("HTTPS_PROXY", "192.0.2.1:3128"), ("HTTP_PROXY", "[2001:db8::9]:3128")],
    &[("ALL_PROXY", "http://all.example.com")],
    &[("HTTPS_PROXY", "p.test"), ("HTTP_PROXY", "p.test"), ("NO_PROXY", "*")],
    &[("HTTPS_PROXY", "p.test"), ("HTTP_PROXY", "p.test"), ("NO_PROXY", "example.com")],
    &[("HTTPS_PROXY", "p.test"), ("HTTP_PROXY", "p.test"), ("no_proxy", ".example.com")],
    &[
        ("HTTPS_PROXY", "p.test"),
        ("HTTP_PROXY", "p.test"),
        ("NO_PROXY", "*.example.com:8443, Example.COM"),
    ],
    &[
        ("HTTPS_PROXY", "p.test"),
        ("HTTP_PROXY", "p.test"),
        ("NO_PROXY", "192.0.2.0/24,2001:db8::/32"),
    ],
    &[
        ("HTTPS_PROXY", "p.test"),
        ("HTTP_PROXY", "p.test"),
        ("NO_PROXY", "192.0.2.7:8443,[2001:db9::1]:8443"),
    ],
    &[
        ("HTTPS_PROXY", "p.test"),
        ("HTTP_PROXY", "p.test"),
        ("NO_PROXY", "::ffff:192.0.2.7, 2001:db8:0::1"),
    ],
    &[
        ("HTTPS_PROXY", "p.test"),
        ("HTTP_PROXY", "p.test"),
        ("NO_PROXY", "b\u{fc}cher.example,local"),
    ],
    &[
        ("HTTPS_PROXY", "p.test"),
        ("HTTP_PROXY", "p.test"),
        ("NO_PROXY", "192.0.0.0/+8,192.0.2.7/,/8,:443,[,]"),
    ],
    &[
        ("HTTPS_PROXY", "p.test"),
        ("HTTP_PROXY", "p.test"),
        ("NO_PROXY", "0.0.0.0/0,::/0,example.com:"),
    ],
    &[("HTTPS_PROXY", " http://p.test"), ("HTTP_PROXY", "http://p.test:bad")],
    &[("HTTPS_PROXY", "proxy"), ("HTTP_PROXY", "proxy:80/path"), ("NO_PROXY", "[2001:db8::1],com")],
];

fn by_go(environment: &[(&str, &str)]) -> Vec<String> {
    let output = Command::new(program(false))
        .args(URLS)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_same_proxy_for_every_url_and_environment() {
    for environment in ENVIRONMENTS {
        let settings = environment
            .iter()
            .map(|(name, value)| {
                let setting =
                    Setting { value: (*value).into(), origin: SettingOrigin::Environment };
                ((*name).to_owned(), setting)
            })
            .collect();
        let ours: Vec<String> = URLS
            .iter()
            .map(|url| match web_proxy_for(url, &settings) {
                Some(proxy) => format!("{} {}", proxy.host, proxy.port),
                None => "-".to_owned(),
            })
            .collect();
        let pairs: Vec<_> = URLS.into_iter().zip(&ours).collect();
        let theirs = by_go(environment);
        let their_pairs: Vec<_> = URLS.into_iter().zip(&theirs).collect();
        assert_eq!(pairs, their_pairs, "{environment:?}");
    }
}
