use proptest::prelude::*;

use super::*;

/// What `§` stands for in the tables below.
const S: &str = "hunter2Secret";

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn urls_lose_their_credentials() {
    for (raw, kept) in [
        ("https://user:§@proxy.example.com/x", "https://xxxxx@proxy.example.com/x"),
        ("https://§@proxy.example.com", "https://xxxxx@proxy.example.com"),
        ("https://§:x-oauth-basic@git.example.com", "https://xxxxx@git.example.com"),
        ("https://user:§@x@proxy.example.com:8080", "https://xxxxx@proxy.example.com:8080"),
        ("https://user:§/x@proxy.example.com/y", "https://xxxxx@proxy.example.com/y"),
        ("https://user:§?#x@proxy.example.com/y", "https://xxxxx@proxy.example.com/y"),
        ("https://user:§", "https://user:xxxxx"),
        ("user:§@proxy.example.com:3128", "xxxxx@proxy.example.com:3128"),
        ("user:§/x@proxy.example.com:3128", "xxxxx@proxy.example.com:3128"),
        ("§@proxy.example.com:3128", "xxxxx@proxy.example.com:3128"),
        ("socks5://user:§@[2001:db8::1]:1080", "socks5://xxxxx@[2001:db8::1]:1080"),
        ("ssh://user:§@git.example.com/x", "ssh://xxxxx@git.example.com/x"),
        ("https://a.example.com/?token=§&v=1", "https://a.example.com/?token=xxxxx&v=1"),
        ("https://a.example.com/?v=1&%74oken=§", "https://a.example.com/?v=1&%74oken=xxxxx"),
        ("/x?X-Amz-Signature=§&X-Amz-Date=§", "/x?X-Amz-Signature=xxxxx&X-Amz-Date=xxxxx"),
        ("https://a/?X-Goog-Credential=§;x", "https://a/?X-Goog-Credential=xxxxx"),
        ("https://a/cb?code=§#access_token=§", "https://a/cb?code=xxxxx#xxxxx"),
        ("https://a/x?u=https%3A%2F%2Fu%3A§%40b", "https://a/x?u=xxxxx"),
        ("https://a/x?u=https://u:§@b", "https://a/x?u=https://xxxxx@b"),
        (
            "https://u:§,y@a.example.com,https://b.example.com|https://§@c.example.com,direct",
            "https://xxxxx@a.example.com,https://b.example.com|https://xxxxx@c.example.com,direct",
        ),
        ("https://a/?token=§,https://b,direct", "https://a/?token=xxxxx,https://b,direct"),
        ("see https://u:§@a/x, then y", "see https://xxxxx@a/x, then y"),
        ("https://a/glpat-§/x", "https://a/xxxxx/x"),
    ] {
        let raw = raw.replace('§', S);
        assert_eq!(url(&raw), kept, "of {raw}");
        assert_eq!(url(kept), kept, "again");
    }
}

#[test]
fn harmless_urls_stay() {
    for kept in [
        "https://proxy.example.com/example.com/lib/@v/v1.4.2.zip",
        "https://proxy.example.com:8080/example.com/lib/@v/list?go-get=1",
        "https://a.example.com,https://b.example.com:8443|direct",
        "http://[::1]:3128",
        "proxy.example.com:8080/example.com/lib@v1.4.2",
        "example.com/lib@v1.4.2",
        "lib@v1.4.2",
        "git@git.example.com:team/private.git",
        "me@git.example.com:team/private.git",
        "ssh://git@git.example.com:22/team/private",
        "ssh://me@git.example.com/team/private",
        "https://git@git.example.com/team/private",
        "https://go.dev/doc/faq#git_https",
        "https://go.dev/ref/mod#go-mod-download.",
        "file:///srv/proxy",
        "off",
        "",
    ] {
        assert!(matches!(url(kept), Cow::Borrowed(_)), "{kept} became {}", url(kept));
        assert_eq!(text(kept), kept);
    }
}

#[test]
fn text_loses_its_credentials() {
    for (raw, kept) in [
        ("> Authorization: Basic §==\r\n> Host: a", "> Authorization: xxxxx\r\n> Host: a"),
        ("proxy-authorization: §", "proxy-authorization: xxxxx"),
        (r#"Authorization: Digest username="u", response="§""#, "Authorization: xxxxx"),
        (r#"don't: Authorization: Digest username='u', x='§'"#, "don't: Authorization: xxxxx"),
        (r#"header "authorization" = "Basic §""#, r#"header "authorization" = "xxxxx""#),
        ("git -c 'http.extraHeader=X-Own: §' fetch", "git -c 'http.extraHeader=xxxxx' fetch"),
        (r#"-H "Cookie: §" -H "X-Api-Key: §" u"#, r#"-H "Cookie: xxxxx" -H "X-Api-Key: xxxxx" u"#),
        ("Cookie: session=§; x=§", "Cookie: xxxxx"),
        ("PRIVATE-TOKEN: §", "PRIVATE-TOKEN: xxxxx"),
        ("sent Bearer §, got 401", "sent Bearer xxxxx, got 401"),
        ("bearer abcdef", "bearer xxxxx"),
        ("Basic dXNlcjpwYXNz", "Basic xxxxx"),
        ("helper --token § --dry-run", "helper --token xxxxx --dry-run"),
        ("helper --password='§ x' end", "helper --password='xxxxx' end"),
        ("helper -api-key \"§ x\"", "helper -api-key \"xxxxx\""),
        ("//npm.example.com/:_authToken=§", "//npm.example.com/:_authToken=xxxxx"),
        ("//npm.example.com/:_auth=§", "//npm.example.com/:_auth=xxxxx"),
        ("AWS_SECRET_ACCESS_KEY=§", "AWS_SECRET_ACCESS_KEY=xxxxx"),
        ("key AKIAIOSFODNN7EXAMPLE", "key xxxxx"),
        ("machine a login u password §", "machine a login u password xxxxx"),
        ("machine a\nlogin u\n  password §\n", "machine a\nlogin u\n  password xxxxx\n"),
        ("password § \r\n", "password xxxxx \r\n"),
        ("login u password § machine b", "login u password xxxxx machine b"),
        (r#"{"token": "§", "n": 1}"#, r#"{"token": "xxxxx", "n": 1}"#),
        ("password: §", "password: xxxxx"),
        (
            r#"parse "http://u:§": invalid port ":§" after host"#,
            r#"parse "http://u:xxxxx": invalid port ":xxxxx" after host"#,
        ),
        (
            "proxyconnect u:§@proxy.example.com:3128 down",
            "proxyconnect xxxxx@proxy.example.com:3128 down",
        ),
        (r#"Get "https://u:§@a/x?sig=§": EOF"#, r#"Get "https://xxxxx@a/x?sig=xxxxx": EOF"#),
        ("ghp_§ github_pat_§ glpat-§ gho_§", "xxxxx xxxxx xxxxx xxxxx"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.§ end", "xxxxx end"),
    ] {
        let raw = raw.replace('§', S);
        assert_eq!(text(&raw), kept, "of {raw}");
        assert_eq!(text(kept), kept, "again");
    }
}

/// What go, git and ssh say on a bad day.
#[test]
fn harmless_text_stays() {
    for kept in [
        "go: downloading example.com/lib v1.4.2",
        "verifying example.com/lib@v1.4.2: checksum mismatch\n\tdownloaded: h1:7dq4C0U+q0=\n",
        r#"Get "https://proxy.example.com/example.com/lib/@v/v1.4.2.zip": dial tcp 192.0.2.10:443: i/o timeout"#,
        "# get https://proxy.example.com/x/@v/list: 200 OK (0.120s)",
        "git@git.example.com: Permission denied (publickey,password).",
        "git@git.example.com's password: ",
        "Enter passphrase for key '/home/u/.ssh/id_ed25519': ",
        "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled",
        "fatal: could not read Password for 'https://git@git.example.com': No such device or address",
        "remote: HTTP Basic: Access denied",
        "Basic authentication is disabled; bearer token required",
        "basic constraints, basic usage",
        "See https://golang.org/doc/faq#git_https for more.",
        "password authentication was removed",
        "password required",
        "unexpected token: }",
        "main.go:10:5: undefined: secretary",
        "exit code=1, key=value, x --token-file /run/t",
        "use --token to give one, --password is asked for",
        "ssh: connect to host git.example.com port 22: Connection timed out",
        "sumdb.example.com+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "write me@example.com or a:b@v1.2.3",
        "x509: certificate signed by unknown authority",
        "10:30:05 lookup proxy.example.com on 192.0.2.53:53: read udp: i/o timeout",
        "credential.helper=store http.sslKey=/etc/key.pem",
    ] {
        assert!(matches!(text(kept), Cow::Borrowed(_)), "{kept} became {}", text(kept));
    }
}

#[test]
fn arguments_of_go_git_and_ssh() {
    let header = format!("http.https://git.example.com/.extraHeader=AUTHORIZATION: basic {S}");
    let git = strings(&["git", "-c", &header, "fetch", "--password", S, "origin"]);
    assert_eq!(
        argv_for("/usr/bin/git", &git),
        [
            "git",
            "-c",
            "http.https://git.example.com/.extraHeader=xxxxx",
            "fetch",
            "--password",
            "xxxxx",
            "origin"
        ]
    );
    let config = strings(&["git", "config", "http.extraHeader", S]);
    assert_eq!(argv(&config), ["git", "config", "http.extraHeader", "xxxxx"]);
    let goauth = format!("GOAUTH=netrc; helper {S}");
    let go = strings(&["go", "env", "-w", &goauth]);
    assert_eq!(argv(&go), ["go", "env", "-w", "GOAUTH=netrc; helper"]);
    let plain = strings(&["go", "list", "-m", "-json", "example.com/lib@v1.4.2", "./...", ""]);
    assert_eq!(argv(&plain), plain);
    let ssh =
        strings(&["ssh", "-o", "BatchMode=yes", "git@git.example.com", "git-upload-pack 'x'"]);
    assert_eq!(argv(&ssh), ssh);
}

#[test]
fn of_other_programs_only_the_name_is_kept() {
    let other = strings(&["helper", "--whatever", S]);
    assert_eq!(argv_for("/usr/bin/helper", &other), ["helper"]);
    assert_eq!(argv_for("/usr/bin/helper", &[]), [""; 0]);
    for (exe, kind) in [
        ("/usr/local/go/bin/go", Program::Go),
        ("go1.26.1", Program::Go),
        ("/usr/bin/git (deleted)", Program::Git),
        ("/usr/lib/git-core/git-remote-https", Program::Git),
        ("git-credential-store", Program::Other),
        ("/usr/bin/ssh", Program::Ssh),
        ("gopls", Program::Other),
        ("/bin/sh", Program::Other),
    ] {
        assert_eq!(program_kind(exe), kind, "{exe}");
    }
}

#[test]
fn environment_is_kept_by_name() {
    let kept = |name: &str, value: &str| env_value(name, &value.replace("SECRET", S));
    for (name, value, wanted) in [
        ("GOPROXY", "https://u:SECRET@a,direct", "https://xxxxx@a,direct"),
        ("https_proxy", "u:SECRET@proxy:3128", "xxxxx@proxy:3128"),
        (
            "GOSUMDB",
            "sum.example.com+1+k= https://SECRET@a",
            "sum.example.com+1+k= https://xxxxx@a",
        ),
        ("GOAUTH", "netrc; git /home/u; helper -p SECRET", "netrc; git; helper"),
        ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes", "ssh -o BatchMode=yes"),
        ("GIT_SSH_COMMAND", "SSHPASS=SECRET sshpass -e SECRET ssh", "SSHPASS=xxxxx sshpass"),
        ("GIT_SSH_COMMAND", "A=SECRET /usr/bin/ssh -v", "A=xxxxx /usr/bin/ssh -v"),
        ("GOCACHEPROG", "cacher SECRET", "cacher"),
        ("GOFLAGS", "-mod=mod -x", "-mod=mod -x"),
        ("GOPRIVATE", "*.example.com", "*.example.com"),
    ] {
        assert_eq!(kept(name, value).as_deref(), Some(wanted), "{name}={value}");
        assert_eq!(kept(name, wanted).as_deref(), Some(wanted), "again");
    }
    assert_eq!(kept("AWS_SECRET_ACCESS_KEY", "SECRET"), None);
    assert_eq!(kept("PATH", "/bin"), None);
}

/// Pieces that mean something to one rule or another.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "https://",
        "ssh://",
        "://",
        "user",
        ":",
        "@",
        "/",
        "?",
        "#",
        "&",
        "=",
        ",",
        "|",
        "direct",
        "off",
        "token",
        "--token",
        "password",
        "login u ",
        "\n",
        " ",
        "\t",
        "\"",
        "'",
        "`",
        "Bearer ",
        "Basic ",
        "Authorization: ",
        "authorization=",
        "Cookie: ",
        "extraHeader=",
        "ghp_abcdef12",
        "glpat-abcdef12",
        "eyJabcdefgh.abcdefgh.",
        "a.example.com",
        "8080",
        "xxxxx",
        "[::1]",
        "é",
        "code",
        "%40",
        "%2F%2F",
        "invalid port \":",
        "-",
        ";",
        "v1.2.3",
        "\\",
        "hunter2",
        "to",
        "\r",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn secret() -> impl Strategy<Value = String> {
    "[A-Za-z][A-Za-z0-9]{5,12}[0-9][A-Z][a-z0-9]{2,8}"
}

/// Where a secret may stand, `{}`; the text around is harmless.
fn places() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "https://user:{}@a.example.com/x",
        "https://{}@a.example.com",
        "http://user:{}/x@a.example.com:80/",
        "socks5://u:a{}b@[::1]:1080",
        "https://a/x?token={}",
        "https://a/x?v=1&X-Amz-Signature={}&z=1",
        "https://a/x#access_token={}",
        "Authorization: Basic {}",
        "Proxy-Authorization: Digest response=\"{}\"",
        "Bearer {}",
        "--token {}",
        "--password={}",
        "_authToken={}",
        "login me password {}",
        "ghp_{}",
        "github_pat_{}",
        "user:{}@proxy.example.com:3128",
        "http.extraHeader=X-Own: {}",
        "\"secret\": \"{}\"",
    ])
}

proptest! {
    #[test]
    fn again_changes_nothing(raw in pieces()) {
        let once = url(&raw).into_owned();
        prop_assert_eq!(url(&once), &*once, "url of {:?}", raw);
        let once = text(&raw).into_owned();
        prop_assert_eq!(text(&once), &*once, "text of {:?}", raw);
    }

    #[test]
    fn what_is_left_is_bounded(raw in pieces(), any: String) {
        for raw in [raw, any] {
            prop_assert!(text(&raw).len() <= raw.len() * (MARK.len() + 1));
            prop_assert!(url(&raw).len() <= raw.len() * (MARK.len() + 1));
            for name in ["GOPROXY", "GOAUTH", "GIT_SSH_COMMAND", "GOFLAGS", "GODEBUG"] {
                prop_assert!(env_value(name, &raw).unwrap().len() <= raw.len() * (MARK.len() + 2));
            }
        }
    }

    #[test]
    fn no_secret_survives(secret in secret(), place in places(), before in "([a-z]{1,8}:? ){0,3}", after in "( [a-z]{1,8}){0,3}") {
        let raw = format!("{before}{}{after}", place.replace("{}", &secret));
        prop_assert!(!text(&raw).contains(&secret), "{} became {}", raw, text(&raw));
        let argument = place.replace("{}", &secret);
        let kept = argv(&strings(&["git", &argument]));
        prop_assert!(!kept.concat().contains(&secret), "{kept:?}");
    }

    #[test]
    fn words_stay(words in "([a-z]{1,10}[.,:]? ){0,12}") {
        let harmless = !["password", "login", "bearer"].iter().any(|word| words.contains(word));
        prop_assume!(harmless);
        prop_assert_eq!(text(&words), &*words);
    }
}
