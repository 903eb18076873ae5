//! HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as golang.org/x/net/http/httpproxy reads them.

use crate::event::{Setting, SettingOrigin};
use std::collections::BTreeMap;
use std::net::IpAddr;
use url::{Host, Url};

/// A web proxy that a request goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebProxy {
    /// As set, redacted.
    pub url: String,
    /// Lower case, without brackets.
    pub host: String,
    /// With the scheme's default.
    pub port: u16,
    /// The variable that names it.
    pub variable: String,
    /// Where that was set.
    pub origin: SettingOrigin,
}

/// The web proxy that go uses for a URL; none where it connects by itself.
pub fn web_proxy_for(url: &str, env: &BTreeMap<String, Setting>) -> Option<WebProxy> {
    let url = Url::parse(url).ok()?;
    let proxy = match url.scheme() {
        "https" => from_variables(env, ["HTTPS_PROXY", "https_proxy"])?,
        "http" => from_variables(env, ["HTTP_PROXY", "http_proxy"])?,
        _ => return None,
    };
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    uses_proxy(&no_proxy(env), &host, port).then_some(proxy)
}

/// The web proxies that are set, whatever NO_PROXY says.
pub fn web_proxies(env: &BTreeMap<String, Setting>) -> Vec<WebProxy> {
    [["HTTPS_PROXY", "https_proxy"], ["HTTP_PROXY", "http_proxy"]]
        .into_iter()
        .filter_map(|names| from_variables(env, names))
        .collect()
}

/// The first variable that is not empty; the second is not tried where the first cannot be understood.
fn from_variables(env: &BTreeMap<String, Setting>, names: [&str; 2]) -> Option<WebProxy> {
    let (name, setting) = names.into_iter().find_map(|name| {
        Some((name, env.get(name).filter(|setting| !setting.value.is_empty())?))
    })?;
    let url = parse_proxy(&setting.value)?;
    let port = url.port_or_known_default().or_else(|| default_port(url.scheme()))?;
    Some(WebProxy {
        url: setting.value.clone(),
        host: url.host_str()?.trim_matches(['[', ']']).to_ascii_lowercase(),
        port,
        variable: name.to_owned(),
        origin: setting.origin,
    })
}

/// A URL, or `host:port` (httpproxy.parseProxy: what has no scheme or no host is tried again behind `http://`).
fn parse_proxy(text: &str) -> Option<Url> {
    let whole = text.contains("://").then(|| parse_with_host(text)).flatten();
    whole.or_else(|| parse_with_host(&format!("http://{text}")))
}

/// url.Parse of Go refuses control characters anywhere and blanks before the path; the WHATWG parser would drop them.
fn parse_with_host(text: &str) -> Option<Url> {
    let (before, after) = text.split_once("://")?;
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    if text.contains(|c: char| c.is_ascii_control())
        || before.contains(' ')
        || authority.contains(' ')
    {
        return None;
    }
    Url::parse(text).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))
}

/// net/http/transport.go, portMap.
fn default_port(scheme: &str) -> Option<u16> {
    matches!(scheme, "socks5" | "socks5h").then_some(1080)
}

fn no_proxy(env: &BTreeMap<String, Setting>) -> String {
    ["NO_PROXY", "no_proxy"]
        .into_iter()
        .filter_map(|name| super::value(env, name))
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_owned()
}

/// httpproxy.useProxy: never for localhost and loopback addresses, else unless NO_PROXY matches.
fn uses_proxy(no_proxy: &str, host: &str, port: u16) -> bool {
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return false;
    }
    let host = host.to_ascii_lowercase();
    !no_proxy.split(',').any(|entry| exempts(&entry.trim().to_lowercase(), &host, address, port))
}

/// Whether one entry of NO_PROXY exempts a host.
fn exempts(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    match entry {
        "" => return false,
        "*" => return true,
        _ => {}
    }
    if let Some(range) = Range::parse(entry) {
        return address.is_some_and(|address| range.contains(address));
    }
    let (name, wanted_port) = split_port(entry);
    let port_matches =
        wanted_port.is_none_or(|wanted| wanted.is_empty() || wanted == port.to_string());
    if let Ok(wanted) = name.parse::<IpAddr>() {
        return address == Some(wanted.to_canonical()) && port_matches;
    }
    address.is_none() && !name.is_empty() && port_matches && domain_matches(name, host)
}

/// `example.com` is the name and what is below it, `.example.com` and `*.example.com` only what is below it.
fn domain_matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(pattern);
    let below_only = pattern.starts_with('.');
    let bare = pattern.strip_prefix('.').unwrap_or(pattern);
    let ascii = match bare.is_ascii() {
        true => bare.to_owned(),
        false => match Host::parse(bare) {
            Ok(Host::Domain(domain)) => domain,
            _ => bare.to_owned(),
        },
    };
    (!below_only && host == ascii)
        || host.strip_suffix(&ascii).is_some_and(|above| above.ends_with('.'))
}

/// `host:port` and `[host]:port` (net.SplitHostPort); what has no port is all host.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some((host, port)) = entry.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        return (host, Some(port));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') && !host.contains(['[', ']']) => {
            (host, Some(port))
        }
        _ => (entry, None),
    }
}

/// `192.0.2.0/24` (net.ParseCIDR).
struct Range {
    network: IpAddr,
    bits: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let (network, bits) = text.split_once('/')?;
        let network: IpAddr = network.parse().ok()?;
        if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let bits: u32 = bits.parse().ok()?;
        (bits <= if network.is_ipv4() { 32 } else { 128 }).then_some(Range { network, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, Setting> {
        let setting =
            |value: &str| Setting { value: value.into(), origin: SettingOrigin::Environment };
        pairs.iter().map(|(name, value)| ((*name).to_owned(), setting(value))).collect()
    }

    fn place(url: &str, pairs: &[(&str, &str)]) -> Option<(String, u16, String)> {
        web_proxy_for(url, &env(pairs)).map(|proxy| (proxy.host, proxy.port, proxy.variable))
    }

    #[test]
    fn the_scheme_picks_the_variable_and_upper_case_comes_first() {
        let pairs = [("https_proxy", "http://a.example.com:3128"), ("HTTP_PROXY", "b.example.com")];
        assert_eq!(
            place("https://m.example.com/x", &pairs),
            Some(("a.example.com".into(), 3128, "https_proxy".into()))
        );
        assert_eq!(
            place("http://m.example.com/x", &pairs),
            Some(("b.example.com".into(), 80, "HTTP_PROXY".into()))
        );
        let both = [("HTTPS_PROXY", "socks5://[2001:db8::1]"), ("https_proxy", "http://x")];
        assert_eq!(
            place("https://m.example.com", &both),
            Some(("2001:db8::1".into(), 1080, "HTTPS_PROXY".into()))
        );
    }

    #[test]
    fn loopback_never_goes_through_a_proxy() {
        let pairs =
            [("HTTPS_PROXY", "http://p.example.com"), ("HTTP_PROXY", "http://p.example.com")];
        for url in ["http://localhost:1", "https://127.0.0.5", "http://[::1]:80"] {
            assert_eq!(place(url, &pairs), None, "{url}");
        }
    }

    #[test]
    fn hostile_values_are_no_proxy() {
        for value in ["", " ", "\u{0}", " http://x", "a b", "@", "host:99999"] {
            assert_eq!(
                place("https://m.example.com", &[("HTTPS_PROXY", value)]),
                None,
                "{value:?}"
            );
        }
        let no_proxy = ["[", "]:", "/", "1.2.3.4/33", "::/129", ":80", ".", "*.", "[]:1"];
        let pairs = [("HTTPS_PROXY", "p.example.com"), ("NO_PROXY", &*no_proxy.join(","))];
        assert!(place("https://m.example.com", &pairs).is_some());
    }
}
