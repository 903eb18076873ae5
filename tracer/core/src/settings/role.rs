//! What a connection is for.

use super::{
    ProxyEntry, ProxyKind, SumDb, WebProxy, matches_prefix_patterns, proxies_in_order,
    proxy_request, sumdb, value, web_proxies,
};
use crate::event::{GoSettings, ProcessRole};
use crate::report::Role;
use std::net::IpAddr;

/// What is known of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// The name the client asks for: SNI, or the host of an HTTP request. None until it has asked; what DNS says goes into
    /// `names`.
    pub host: Option<&'a str>,
    /// The peer.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// The names that DNS answers gave this address.
    pub names: &'a [String],
    /// Path and query of a plain HTTP request.
    pub path: Option<&'a str>,
    /// What kind of program connects.
    pub process: ProcessRole,
    /// The module paths that are being fetched just now.
    pub modules: &'a [String],
    /// Whether a module proxy has just answered this process: what follows to a host of no setting is a redirect.
    pub after_proxy_response: bool,
}

/// What a connection is for, and why that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleGuess {
    /// What for.
    pub role: Role,
    /// The entry of GOPROXY it belongs to.
    pub entry: Option<EntryRef>,
    /// Why, in a few words.
    pub why: String,
}

/// An entry of GOPROXY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRef {
    /// Its place, from 1.
    pub index: usize,
    /// As written, redacted.
    pub text: String,
}

/// What a connection is for; none where the settings do not say.
pub fn role_of(connection: &Connection<'_>, settings: &GoSettings) -> Option<RoleGuess> {
    Judge::new(connection, settings).judge()
}

const REDIRECTED: &str = "a redirect, it seems: no setting names it";

struct Judge<'a> {
    connection: &'a Connection<'a>,
    settings: &'a GoSettings,
    entries: Vec<ProxyEntry>,
    sumdb: Option<SumDb>,
    web_proxies: Vec<WebProxy>,
}

impl<'a> Judge<'a> {
    fn new(connection: &'a Connection<'a>, settings: &'a GoSettings) -> Judge<'a> {
        let get = |name| value(&settings.env, name).unwrap_or_default();
        Judge {
            connection,
            settings,
            entries: proxies_in_order(&settings.env),
            sumdb: sumdb(get("GOSUMDB"), get("GONOSUMDB")),
            web_proxies: web_proxies(&settings.env),
        }
    }

    fn judge(&self) -> Option<RoleGuess> {
        self.resolver_port()
            .or_else(|| self.by_path())
            .or_else(|| self.web_proxy())
            .or_else(|| self.version_control())
            .or_else(|| self.module_proxy())
            .or_else(|| self.checksum_database())
            .or_else(|| self.outside_the_settings())
            .or_else(|| self.name_server())
            .or_else(|| self.by_elimination())
    }

    /// Where no name of the peer is known (its look-up was not seen), and only one entry of GOPROXY has its port, and neither the
    /// checksum database nor a module's own host can be meant.
    fn by_elimination(&self) -> Option<RoleGuess> {
        // An address is no name.
        let is_name = |name: &&str| name.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
        if self.connection.process != ProcessRole::Go || self.names().iter().any(is_name) {
            return None;
        }
        let port = self.connection.port;
        if self.sumdb.as_ref().is_some_and(|db| db.port == port) {
            return None;
        }
        let urls: Vec<&ProxyEntry> =
            self.entries.iter().filter(|e| !matches!(e.kind, ProxyKind::Off)).collect();
        let has_port = |entry: &ProxyEntry| matches!(&entry.kind, ProxyKind::Url { port: p, .. } if *p == port);
        let is_other = |entry: &ProxyEntry| matches!(&entry.kind, ProxyKind::Url { .. });
        let mut fitting = urls.iter().filter(|entry| has_port(entry));
        let entry = fitting.next().filter(|_| urls.iter().all(|entry| is_other(entry)))?;
        if fitting.next().is_some() {
            return None;
        }
        let why = format!("{}, it seems", place_of(entry, self.entries.len()));
        Some(RoleGuess { role: Role::ModuleProxy, entry: Some(entry_ref(entry)), why })
    }

    fn resolver_port(&self) -> Option<RoleGuess> {
        (self.connection.port == 53).then(|| guess(Role::Resolver, "port 53 is DNS"))
    }

    fn name_server(&self) -> Option<RoleGuess> {
        let address = self.connection.address?;
        let known = self.settings.nameservers.iter().any(|server| {
            server.split('%').next().and_then(|text| text.parse::<IpAddr>().ok()) == Some(address)
        });
        known.then(|| guess(Role::Resolver, "the address is a nameserver of resolv.conf"))
    }

    /// A plain HTTP request says it itself.
    fn by_path(&self) -> Option<RoleGuess> {
        let path = self.connection.path?;
        let entry = self.entry_of_peer();
        let base = entry.map(base_path).unwrap_or_default();
        let found = |role, why: &str| {
            Some(RoleGuess { role, entry: entry.map(entry_ref), why: why.into() })
        };
        if path.contains("service=git-") || path.ends_with("/git-upload-pack") {
            return found(Role::Vcs, "the request is git's");
        }
        if path.contains("?go-get=1") {
            return found(Role::Origin, "the request asks for go-import (?go-get=1)");
        }
        if let Some(request) = proxy_request(path, base) {
            return match request.module == "golang.org/toolchain" {
                true => found(Role::Toolchain, "asked for golang.org/toolchain"),
                false => match entry {
                    Some(entry) => found(Role::ModuleProxy, &place_of(entry, self.entries.len())),
                    None if self.is_elsewhere() => found(Role::Redirect, REDIRECTED),
                    None => found(Role::ModuleProxy, "the request is one to a module proxy (/@v/)"),
                },
            };
        }
        if path.contains("/sumdb/") || is_sumdb_request(path) {
            return found(Role::Sumdb, "the checksum database");
        }
        None
    }

    /// A host that no setting names, right after a module proxy has answered: a redirect keeps the path of the request.
    fn is_elsewhere(&self) -> bool {
        let is_name = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
        self.connection.after_proxy_response && self.connection.host.is_some_and(is_name)
    }

    /// Before any name of the target is seen, a connection to the web proxy is for the web proxy.
    fn web_proxy(&self) -> Option<RoleGuess> {
        if self.connection.host.is_some_and(|host| self.is_target_behind_proxy(host)) {
            return None;
        }
        let proxy = self.peer_web_proxy()?;
        Some(guess(Role::WebProxy, &format!("named by {}, from {}", proxy.variable, proxy.origin)))
    }

    /// A name that is neither the web proxy's nor, by DNS, one of the peer: through a web proxy go resolves nothing itself.
    fn is_target_behind_proxy(&self, host: &str) -> bool {
        !self.is_web_proxy_name(host)
            && !self.connection.names.iter().any(|name| same_host(name, host))
    }

    fn is_web_proxy_name(&self, host: &str) -> bool {
        self.web_proxies.iter().any(|proxy| same_host(&proxy.host, host))
    }

    fn peer_web_proxy(&self) -> Option<&WebProxy> {
        self.web_proxies
            .iter()
            .find(|proxy| proxy.port == self.connection.port && self.peer_is(&proxy.host))
    }

    fn version_control(&self) -> Option<RoleGuess> {
        match (self.connection.process, self.connection.port) {
            (ProcessRole::Git, _) => Some(guess(Role::Vcs, "git connects")),
            (ProcessRole::Ssh, _) => Some(guess(Role::Vcs, "ssh connects")),
            (_, 22) => Some(guess(Role::Vcs, "port 22 is ssh")),
            (_, 9418) => Some(guess(Role::Vcs, "port 9418 is git")),
            _ => None,
        }
    }

    fn module_proxy(&self) -> Option<RoleGuess> {
        let entry = self.entry_of_peer()?;
        let modules = self.connection.modules;
        let toolchain =
            !modules.is_empty() && modules.iter().all(|path| path == "golang.org/toolchain");
        let place = place_of(entry, self.entries.len());
        let (role, why) = match toolchain {
            true => (Role::Toolchain, format!("{place}, while a toolchain is fetched")),
            false => (Role::ModuleProxy, place),
        };
        Some(RoleGuess { role, entry: Some(entry_ref(entry)), why })
    }

    fn entry_of_peer(&self) -> Option<&ProxyEntry> {
        let mut matching = self.entries.iter().filter(|entry| match &entry.kind {
            ProxyKind::Url { host, port, .. } => self.leads_to(host, *port),
            _ => false,
        });
        let first = matching.clone().next()?;
        // Entries on one host differ by their path.
        let path = self.connection.path.unwrap_or_default();
        Some(matching.find(|entry| has_base(path, base_path(entry))).unwrap_or(first))
    }

    fn checksum_database(&self) -> Option<RoleGuess> {
        let db = self.sumdb.as_ref()?;
        self.leads_to(&db.host, db.port).then(|| guess(Role::Sumdb, "named by GOSUMDB"))
    }

    /// A go command at a host of no setting: a module's own host, or where a module proxy sent it.
    fn outside_the_settings(&self) -> Option<RoleGuess> {
        if self.connection.process != ProcessRole::Go {
            return None;
        }
        let names = self.names();
        let of_module = self.connection.modules.iter().find(|path| {
            let first = path.split('/').next().unwrap_or_default();
            names.iter().any(|name| same_host(name, first))
        });
        if let Some(module) = of_module.filter(|module| self.may_go_direct(module)) {
            return Some(guess(
                Role::Origin,
                &format!("the module path {module} begins with this host"),
            ));
        }
        if self.connection.after_proxy_response {
            return Some(guess(Role::Redirect, REDIRECTED));
        }
        let direct = self.entries.iter().any(|entry| entry.kind == ProxyKind::Direct);
        (direct && !names.is_empty())
            .then(|| guess(Role::Origin, "no setting names it, and GOPROXY allows direct"))
    }

    fn may_go_direct(&self, module: &str) -> bool {
        let gonoproxy = value(&self.settings.env, "GONOPROXY").unwrap_or_default();
        self.entries.iter().any(|entry| entry.kind == ProxyKind::Direct)
            || matches_prefix_patterns(gonoproxy, module)
    }

    /// Whether the connection ends at this host and port, through a web proxy or not.
    fn leads_to(&self, host: &str, port: u16) -> bool {
        if host.is_empty() {
            return false;
        }
        match self.connection.host {
            Some(asked) if same_host(asked, host) => {
                self.connection.port == port || self.peer_web_proxy().is_some()
            }
            // A name was asked for, and it is another one.
            Some(asked) if asked.parse::<IpAddr>().is_err() => false,
            _ => self.connection.port == port && self.peer_is(host),
        }
    }

    /// Whether the peer's address is this host's, by DNS or because it is the address itself.
    fn peer_is(&self, host: &str) -> bool {
        let literal = host.parse::<IpAddr>().ok();
        let loopback =
            host == "localhost" && self.connection.address.is_some_and(|a| a.is_loopback());
        (literal.is_some() && literal == self.connection.address)
            || loopback
            || self.connection.names.iter().any(|name| same_host(name, host))
    }

    fn names(&self) -> Vec<&str> {
        match self.connection.host {
            Some(host) => vec![host],
            None => self.connection.names.iter().map(String::as_str).collect(),
        }
    }
}

/// `first entry of GOPROXY`.
fn place_of(entry: &ProxyEntry, entries: usize) -> String {
    let ordinal = match entry.index {
        0 => return "GONOPROXY names it".to_owned(),
        1 if entries == 1 => "the only".to_owned(),
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        n => format!("{n}th"),
    };
    format!("{ordinal} entry of GOPROXY")
}

fn guess(role: Role, why: &str) -> RoleGuess {
    RoleGuess { role, entry: None, why: why.to_owned() }
}

fn entry_ref(entry: &ProxyEntry) -> EntryRef {
    EntryRef { index: entry.index, text: entry.text.clone() }
}

fn base_path(entry: &ProxyEntry) -> &str {
    match &entry.kind {
        ProxyKind::Url { path, .. } => path,
        _ => "",
    }
}

fn has_base(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Asked of the database itself, without a module proxy (golang.org/x/mod/sumdb).
fn is_sumdb_request(path: &str) -> bool {
    path == "/latest" || path.starts_with("/lookup/") || path.starts_with("/tile/")
}

fn same_host(a: &str, b: &str) -> bool {
    a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Setting, SettingOrigin};

    fn settings(env: &[(&str, &str)]) -> GoSettings {
        let setting =
            |value: &str| Setting { value: value.into(), origin: SettingOrigin::Environment };
        GoSettings {
            env: env.iter().map(|(name, value)| ((*name).into(), setting(value))).collect(),
            nameservers: vec!["192.0.2.53".into()],
            ..GoSettings::default()
        }
    }

    fn peer(port: u16) -> Connection<'static> {
        Connection {
            host: None,
            address: Some("192.0.2.10".parse().unwrap()),
            port,
            names: &[],
            path: None,
            process: ProcessRole::Go,
            modules: &[],
            after_proxy_response: false,
        }
    }

    #[test]
    fn without_a_name_the_only_entry_with_that_port_is_left() {
        let one = settings(&[("GOPROXY", "http://proxy.example.com"), ("GOSUMDB", "off")]);
        let found = role_of(&peer(80), &one).unwrap();
        assert_eq!(
            (found.role, found.why.as_str()),
            (Role::ModuleProxy, "the only entry of GOPROXY, it seems")
        );
        let literal = Connection { host: Some("192.0.2.10"), ..peer(80) };
        assert_eq!(role(literal, &one), Some(Role::ModuleProxy));
        let named = Connection { host: Some("other.example.com"), ..peer(80) };
        assert_eq!(role(named, &one), None);
        assert_eq!(role(peer(443), &one), None);
        // A module's own host, another entry, and the checksum database could be meant as well.
        for (proxy, sumdb) in [
            ("https://proxy.example.com,direct", "off"),
            ("https://a.example.com,https://b.example.com", "off"),
            ("https://proxy.example.com", "sum.golang.org"),
        ] {
            let env = settings(&[("GOPROXY", proxy), ("GOSUMDB", sumdb)]);
            assert_eq!(role(peer(443), &env), None, "{proxy} {sumdb}");
        }
    }

    fn role(connection: Connection<'_>, settings: &GoSettings) -> Option<Role> {
        role_of(&connection, settings).map(|found| found.role)
    }

    fn usual() -> GoSettings {
        settings(&[
            ("GOPROXY", "https://proxy.example.com,http://192.0.2.10:8080/go|direct"),
            ("GOSUMDB", "sum.example.com"),
            ("HTTPS_PROXY", "http://squid.example.com:3128"),
        ])
    }

    #[test]
    fn the_settings_name_the_peer() {
        let s = usual();
        let named = |host, port| Connection { host: Some(host), ..peer(port) };
        assert_eq!(role(named("Proxy.example.com", 443), &s), Some(Role::ModuleProxy));
        assert_eq!(role(named("sum.example.com", 443), &s), Some(Role::Sumdb));
        assert_eq!(role(named("cdn.example.net", 443), &s), Some(Role::Origin));
        assert_eq!(role(named("proxy.example.com", 444), &s), Some(Role::Origin));
        assert_eq!(role(peer(53), &s), Some(Role::Resolver));
        let found = role_of(&peer(8080), &s).unwrap();
        assert_eq!((found.role, found.entry.unwrap().index), (Role::ModuleProxy, 2));
    }

    #[test]
    fn names_of_the_address_count_until_the_client_names_one() {
        let s = usual();
        let names = ["proxy.example.com".to_owned(), "sum.example.com".to_owned()];
        let by_name = Connection { names: &names, ..peer(443) };
        assert_eq!(role(by_name, &s), Some(Role::ModuleProxy));
        let named = Connection { host: Some("sum.example.com"), ..by_name };
        assert_eq!(role(named, &s), Some(Role::Sumdb), "both share an address; SNI decides");
    }

    #[test]
    fn a_web_proxy_is_one_until_the_target_is_known() {
        let s = usual();
        let names = ["squid.example.com".to_owned()];
        let tunnel = Connection { names: &names, ..peer(3128) };
        assert_eq!(role(tunnel, &s), Some(Role::WebProxy));
        let by_dns = Connection { host: Some("squid.example.com"), ..tunnel };
        assert_eq!(role(by_dns, &s), Some(Role::WebProxy));
        let inside = Connection { host: Some("proxy.example.com"), ..tunnel };
        assert_eq!(role(inside, &s), Some(Role::ModuleProxy));
    }

    #[test]
    fn a_plain_request_says_what_it_is() {
        let s = usual();
        let with = |path| Connection { path: Some(path), ..peer(8080) };
        for (path, expected) in [
            ("/go/golang.org/toolchain/@v/v0.0.1-go1.27.0.linux-amd64.zip", Role::Toolchain),
            ("/go/example.com/m/@v/v1.0.0.zip", Role::ModuleProxy),
            ("/go/sumdb/sum.example.com/supported", Role::Sumdb),
            ("/m?go-get=1", Role::Origin),
            ("/m.git/info/refs?service=git-upload-pack", Role::Vcs),
        ] {
            assert_eq!(role(with(path), &s), Some(expected), "{path}");
        }
        assert_eq!(role_of(&with("/go/a/@latest"), &s).unwrap().entry.unwrap().index, 2);
    }

    #[test]
    fn entries_on_one_host_differ_by_path() {
        let s = settings(&[("GOPROXY", "http://192.0.2.10:1/a,http://192.0.2.10:1/b")]);
        let found = role_of(&Connection { path: Some("/b/x/@v/list"), ..peer(1) }, &s).unwrap();
        assert_eq!(found.entry.unwrap().index, 2);
    }

    #[test]
    fn a_host_of_no_setting_is_a_redirect_or_an_origin() {
        let s = usual();
        let cdn =
            Connection { host: Some("cdn.example.net"), after_proxy_response: true, ..peer(443) };
        assert_eq!(role(cdn, &s), Some(Role::Redirect));
        let path = Some("/example.com/lib/@v/v1.4.2.zip");
        assert_eq!(role(Connection { path, ..cdn }, &s), Some(Role::Redirect), "the path is kept");
        let no_name = Connection { host: None, path, ..cdn };
        assert_eq!(role(no_name, &s), Some(Role::ModuleProxy));
        let modules = ["cdn.example.net/m".to_owned()];
        let own = Connection { modules: &modules, ..cdn };
        assert_eq!(role(own, &s), Some(Role::Origin), "the module lives on this very host");
        let only_proxy = settings(&[("GOPROXY", "https://proxy.example.com")]);
        assert_eq!(role(own, &only_proxy), Some(Role::Redirect), "direct is not allowed");
        let unknown = Connection { after_proxy_response: false, ..own };
        assert_eq!(role(unknown, &only_proxy), None);
    }

    #[test]
    fn git_and_ssh_talk_to_version_control() {
        let s = usual();
        assert_eq!(
            role(Connection { process: ProcessRole::Git, ..peer(443) }, &s),
            Some(Role::Vcs)
        );
        assert_eq!(
            role(Connection { process: ProcessRole::Ssh, ..peer(2222) }, &s),
            Some(Role::Vcs)
        );
    }

    #[test]
    fn a_toolchain_is_known_by_what_is_fetched() {
        let modules = ["golang.org/toolchain".to_owned()];
        let c = Connection { host: Some("proxy.example.com"), modules: &modules, ..peer(443) };
        assert_eq!(role(c, &usual()), Some(Role::Toolchain));
    }

    #[test]
    fn a_nameserver_is_one_on_any_port() {
        let c = Connection { address: Some("192.0.2.53".parse().unwrap()), ..peer(853) };
        assert_eq!(role(c, &settings(&[])), Some(Role::Resolver));
    }
}
