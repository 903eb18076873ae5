//! GOPROXY and GOSUMDB.

use super::value;
use crate::event::Setting;
use std::collections::BTreeMap;
use url::Url;

/// One entry of GOPROXY, in the order go asks them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyEntry {
    /// As written, redacted.
    pub text: String,
    /// What it is.
    pub kind: ProxyKind,
    /// When go goes on to the next entry.
    pub falls_through: FallsThrough,
    /// Its place in GOPROXY, from 1; 0 for the entry that GONOPROXY adds in front.
    pub index: usize,
}

/// What an entry of GOPROXY is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyKind {
    /// A module proxy.
    Url {
        /// `https`, `http` or `file`.
        scheme: String,
        /// Lower case, without brackets; empty for `file`.
        host: String,
        /// With the scheme's default; 0 for `file`.
        port: u16,
        /// Without a trailing slash.
        path: String,
    },
    /// The module's own origin.
    Direct,
    /// Nothing may be fetched.
    Off,
    /// Modules that match GONOPROXY go to their origin first.
    NoProxy,
    /// Not understood: go fails on it.
    Invalid,
}

/// What error lets go try the next entry (cmd/go/internal/modfetch/proxy.go, TryProxies).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FallsThrough {
    /// `,`: only 404 and 410.
    OnNotFound,
    /// `|`: any error, time-outs too.
    OnAnyError,
    /// It is the last one.
    Never,
}

/// The most entries that are looked at.
const MAX_ENTRIES: usize = 64;

/// The entries of a GOPROXY value. `direct` and `off` end the list (cmd/go/internal/modfetch/proxy.go, proxyList).
pub fn proxies(goproxy: &str) -> Vec<ProxyEntry> {
    let mut entries = Vec::new();
    let mut rest = goproxy;
    while !rest.is_empty() && entries.len() < MAX_ENTRIES {
        let end = rest.find([',', '|']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let falls_through = match after.chars().next() {
            Some('|') => FallsThrough::OnAnyError,
            _ => FallsThrough::OnNotFound,
        };
        rest = after.get(1..).unwrap_or_default();
        let text = word.trim();
        if text.is_empty() {
            continue;
        }
        let kind = kind_of(text);
        let last = matches!(kind, ProxyKind::Direct | ProxyKind::Off);
        let index = entries.len() + 1;
        entries.push(ProxyEntry { text: text.to_owned(), kind, falls_through, index });
        if last {
            break;
        }
    }
    if let Some(last) = entries.last_mut() {
        last.falls_through = FallsThrough::Never;
    }
    entries
}

/// The entries in the order go asks them, the one of GONOPROXY included.
pub fn proxies_in_order(env: &BTreeMap<String, Setting>) -> Vec<ProxyEntry> {
    let goproxy = value(env, "GOPROXY").unwrap_or_default();
    let mut entries = proxies(goproxy);
    if goproxy != "direct" && value(env, "GONOPROXY").is_some_and(|globs| !globs.is_empty()) {
        let noproxy = ProxyEntry {
            text: "noproxy".to_owned(),
            kind: ProxyKind::NoProxy,
            falls_through: FallsThrough::OnNotFound,
            index: 0,
        };
        entries.insert(0, noproxy);
    }
    entries
}

fn kind_of(text: &str) -> ProxyKind {
    match text {
        "direct" => return ProxyKind::Direct,
        "off" => return ProxyKind::Off,
        // Single words are reserved; go refuses those it does not know.
        _ if !text.contains(['.', ':', '/']) => return ProxyKind::Invalid,
        _ => {}
    }
    let absolute = if text.contains(":/") || text.starts_with('/') {
        Url::parse(text)
    } else {
        Url::parse(&format!("https://{text}"))
    };
    absolute.ok().and_then(|url| web_address(&url)).map_or(ProxyKind::Invalid, |web| {
        ProxyKind::Url { scheme: web.scheme, host: web.host, port: web.port, path: web.path }
    })
}

/// Where a URL leads.
pub(super) struct WebAddress {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// Where an `http`, `https` or `file` URL leads.
pub(super) fn web_address(url: &Url) -> Option<WebAddress> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(0);
    if !matches!(url.scheme(), "http" | "https" | "file") {
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    Some(WebAddress { scheme: url.scheme().to_owned(), host, port, path })
}

/// The checksum database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumDb {
    /// Its name, as in `/sumdb/NAME/` and in `GOPATH/pkg/sumdb/NAME`.
    pub name: String,
    /// Where go asks it when no module proxy forwards.
    pub host: String,
    /// 443 unless the URL says otherwise.
    pub port: u16,
    /// Whether GOSUMDB names a URL: module proxies are not asked to forward then.
    pub explicit_url: bool,
    /// GONOSUMDB: modules that are not looked up.
    pub not_for: String,
}

impl SumDb {
    /// Whether a module is looked up there (cmd/go/internal/modfetch/sumdb.go, useSumDB: a toolchain always is).
    pub fn asked_about(&self, module_path: &str) -> bool {
        module_path == "golang.org/toolchain"
            || !super::matches_prefix_patterns(&self.not_for, module_path)
    }
}

/// The checksum database of a GOSUMDB value: `NAME`, `NAME+KEY` or either followed by a URL (cmd/go/internal/modfetch/
/// sumdb.go, dbDial). None where it is off or not understood.
pub fn sumdb(gosumdb: &str, gonosumdb: &str) -> Option<SumDb> {
    let mut words = gosumdb.split_whitespace();
    let key = words.next().filter(|key| *key != "off")?;
    let url = words.next();
    if words.next().is_some() {
        return None;
    }
    let name = key.split('+').next().filter(|name| !name.is_empty() && !name.ends_with('/'))?;
    let direct = format!("https://{name}");
    let address = web_address(&Url::parse(url.unwrap_or(&direct)).ok()?)?;
    Some(SumDb {
        name: name.to_owned(),
        host: address.host,
        port: address.port,
        explicit_url: url.is_some(),
        not_for: gonosumdb.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(scheme: &str, host: &str, port: u16, path: &str) -> ProxyKind {
        ProxyKind::Url { scheme: scheme.into(), host: host.into(), port, path: path.into() }
    }

    fn kinds(goproxy: &str) -> Vec<ProxyKind> {
        proxies(goproxy).into_iter().map(|entry| entry.kind).collect()
    }

    #[test]
    fn entries_are_told_apart() {
        assert_eq!(
            kinds("https://proxy.example.com/go/, http://[::1]:8080|a.example.com:9/x,file:///srv"),
            [
                url("https", "proxy.example.com", 443, "/go"),
                url("http", "::1", 8080, ""),
                url("https", "a.example.com", 9, "/x"),
                url("file", "", 0, "/srv"),
            ]
        );
    }

    #[test]
    fn direct_and_off_end_the_list() {
        assert_eq!(kinds("direct,https://a.example.com"), [ProxyKind::Direct]);
        assert_eq!(kinds(" , off|direct"), [ProxyKind::Off]);
        assert_eq!(kinds(",|,"), []);
    }

    #[test]
    fn the_separator_after_an_entry_decides() {
        let entries = proxies("https://a.example.com|https://b.example.com,,direct");
        let seen: Vec<_> = entries.iter().map(|entry| (entry.index, entry.falls_through)).collect();
        assert_eq!(
            seen,
            [
                (1, FallsThrough::OnAnyError),
                (2, FallsThrough::OnNotFound),
                (3, FallsThrough::Never)
            ]
        );
    }

    #[test]
    fn what_go_refuses_is_invalid() {
        for text in ["banana", "/srv/proxy", "ftp://a.example.com", "https://", "https://[::1"] {
            assert_eq!(kinds(text), [ProxyKind::Invalid], "{text}");
        }
    }

    #[test]
    fn a_long_list_is_bounded() {
        assert_eq!(proxies(&"a.example.com,".repeat(10_000)).len(), MAX_ENTRIES);
    }

    #[test]
    fn a_checksum_database_has_a_name_and_a_place() {
        let db = sumdb("sum.example.com+0123abcd+AAAA", "corp.example.com").unwrap();
        assert_eq!(
            (db.name.as_str(), db.host.as_str(), db.port),
            ("sum.example.com", "sum.example.com", 443)
        );
        assert!(db.asked_about("example.com/m") && !db.asked_about("corp.example.com/m"));
        assert!(db.asked_about("golang.org/toolchain"));
        let db = sumdb("sum.example.com http://127.0.0.1:9/x", "").unwrap();
        assert_eq!(
            (db.name.as_str(), db.host.as_str(), db.port),
            ("sum.example.com", "127.0.0.1", 9)
        );
        assert!(db.explicit_url);
        for nothing in ["off", "", "a b c", "+key", "a/ ", "a.example.com ://"] {
            assert_eq!(sumdb(nothing, ""), None, "{nothing}");
        }
    }
}
