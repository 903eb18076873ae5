//! Whom a connection talks to, by name, and what for.

use super::scene::Scene;
use crate::report::{OtherAddress, Peer, Role, TcpFacts};
use crate::session::awaited::Await;
use crate::session::{Connection, Phase};
use crate::settings;
use crate::units::Pid;
use std::net::{IpAddr, SocketAddr};

/// The other end of a connection, named.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The name, where one is known.
    pub(super) host: Option<String>,
    /// The address.
    pub(super) ip: IpAddr,
    /// The port.
    pub(super) port: u16,
    /// `http` or `https`, as far as is known.
    pub(super) scheme: &'static str,
    /// What for.
    pub(super) role: Option<Role>,
    /// That in words: `first entry of GOPROXY`.
    pub(super) why: String,
}

impl Target {
    /// The target of a connection of `pid`.
    pub(super) fn of(scene: &Scene<'_>, connection: &Connection) -> Target {
        let ip = connection.peer.ip();
        let port = connection.peer.port();
        let names = scene.session.names_of(ip);
        let asked = connection.asked_host().filter(|_| !connection.is_tunnel());
        let asked = asked.or_else(|| awaited_host(scene, connection));
        // An address in a URL is no name.
        let named =
            asked.clone().filter(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err());
        let host = named.or_else(|| names.last().cloned());
        let modules: Vec<String> = scene
            .modules(connection.pid)
            .iter()
            .filter_map(|m| m.split_once('@').map(|(path, _)| path.to_owned()))
            .collect();
        let awaited = connection.awaited().and_then(|a| url::Url::parse(a.url.as_ref()?).ok());
        let first = connection.request.as_ref().filter(|r| r.method != "CONNECT");
        let path = match &awaited {
            Some(url) => Some(path_of(url)),
            None => first.and_then(|r| url::Url::parse(&r.url).ok()).map(|url| path_of(&url)),
        };
        let facts = settings::Connection {
            host: asked.as_deref(),
            address: Some(ip),
            port,
            names,
            path: path.as_deref(),
            process: scene.session.role_of_process(connection.pid),
            modules: &modules,
            after_proxy_response: led_from(connection).is_some()
                || before(scene, connection).is_some(),
        };
        let guess = scene
            .session
            .settings_for(connection.pid)
            .and_then(|settings| settings::role_of(&facts, settings));
        let entry = guess.as_ref().and_then(|g| g.entry.as_ref());
        let plain = entry.is_some_and(|e| e.text.starts_with("http://"))
            || connection.hello.is_none() && (connection.request.is_some() || port == 80);
        let why = match &guess {
            Some(g) if g.role == Role::Redirect => redirect(scene, connection, host.as_deref()),
            Some(g) => g.why.clone(),
            None => String::new(),
        };
        let scheme = match &awaited {
            Some(url) if url.scheme() == "http" => "http",
            None if plain => "http",
            _ => "https",
        };
        let host = match &guess {
            Some(g) if g.role == Role::Vcs => host.or_else(|| git_host(scene, connection)),
            _ => host,
        };
        Target { host, ip, port, scheme, role: guess.map(|g| g.role), why }
    }

    /// The name people know, or the address; with the port where that tells servers at one address apart.
    pub(super) fn name(&self) -> String {
        match (&self.host, self.port) {
            (Some(host), _) => host.clone(),
            (None, 80 | 443) => self.ip.to_string(),
            (None, _) => SocketAddr::new(self.ip, self.port).to_string(),
        }
    }

    /// `https://proxy.example.com/`.
    pub(super) fn url(&self) -> String {
        match (self.scheme, self.port) {
            ("http", 80) | ("https", 443) => format!("{}://{}/", self.scheme, self.authority()),
            (scheme, port) => format!("{scheme}://{}:{port}/", self.authority()),
        }
    }

    /// The name, or the address, as it stands in a URL.
    pub(super) fn authority(&self) -> String {
        match (&self.host, self.ip) {
            (Some(host), _) => host.clone(),
            (None, IpAddr::V4(ip)) => ip.to_string(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
        }
    }

    /// `192.0.2.10 port 443, first entry of GOPROXY`.
    pub(super) fn server_line(&self) -> String {
        let place = format!("{} port {}", self.ip, self.port);
        if self.why.is_empty() { place } else { format!("{place}, {}", self.why) }
    }

    /// The peer of a finding.
    pub(super) fn peer(&self, scene: &Scene<'_>, connection: &Connection) -> Peer {
        Peer {
            host: self.host.clone(),
            address: Some(self.ip.to_string()),
            port: Some(self.port),
            protocol: "tcp".to_owned(),
            other_addresses: self.others(scene, connection),
            tcp: connection.tcp.as_ref().map(|(_, s)| TcpFacts {
                state: s.state.clone(),
                last_data_received_ms: s.tcp.last_data_received_ms,
                retransmissions: s.tcp.total_retransmits,
                unacked: s.tcp.unacked,
                bytes_received: s.tcp.bytes_received,
            }),
        }
    }

    /// The other addresses the name was resolved to, and what became of each.
    pub(super) fn others(&self, scene: &Scene<'_>, connection: &Connection) -> Vec<OtherAddress> {
        let Some(host) = &self.host else { return Vec::new() };
        let mut others: Vec<IpAddr> = scene
            .session
            .names
            .iter()
            .filter(|(ip, names)| **ip != self.ip && names.contains(host))
            .map(|(ip, _)| *ip)
            .collect();
        others.sort();
        let outcome = |ip: IpAddr| {
            let tried = scene.session.connections.iter().rev().find(|c| {
                c.pid == connection.pid && c.peer.ip() == ip && c.peer.port() == self.port
            });
            match tried.map(|c| (c.phase(), c.failure())) {
                None => "not tried",
                Some((_, Some("ECONNREFUSED"))) => "refused",
                Some((_, Some("ENETUNREACH" | "EHOSTUNREACH"))) => "unreachable",
                Some((_, Some(_))) => "failed",
                Some((Phase::Connecting, _)) => "silent",
                Some(_) => "connected",
            }
        };
        others
            .into_iter()
            .take(16)
            .map(|ip| OtherAddress { address: ip.to_string(), outcome: outcome(ip).to_owned() })
            .collect()
    }
}

/// The host in the URL that git was told, where the connection can be the one to it: same port, and no web proxy between.
fn git_host(scene: &Scene<'_>, connection: &Connection) -> Option<String> {
    let proxied = is_proxied(scene, connection.pid);
    let argv = scene.session.argv(connection.pid);
    let mut urls = argv.iter().filter_map(|word| url::Url::parse(word).ok());
    let url = urls.find(|url| url.port_or_known_default() == Some(connection.peer.port()))?;
    url.host_str().filter(|_| !proxied).map(str::to_owned)
}

/// The host in the words of ssh or git: of the first URL, or of the first word of ssh that is no option.
pub(super) fn host_in_words(argv: &[String]) -> Option<String> {
    let (program, words) = argv.split_first()?;
    let mut urls = words.iter().filter_map(|word| url::Url::parse(word).ok());
    if let Some(host) = urls.find_map(|url| url.host_str().map(str::to_owned)) {
        return Some(host);
    }
    if program.rsplit('/').next() != Some("ssh") {
        return None;
    }
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix('-') else {
            let host = word.rsplit('@').next().unwrap_or(word);
            return (!host.is_empty()).then(|| host.to_owned());
        };
        // Options of ssh(1) that have their value in the next word.
        if option.len() == 1 && "BbcDEeFIiJLlmOoPpQRSWw".contains(option) {
            words.next();
        }
    }
    None
}

/// Path and query of a request's URL.
fn path_of(url: &url::Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// The host that goroutines want of a connection, unless a web proxy may be between: then it is not the one at the other end.
fn awaited_host(scene: &Scene<'_>, connection: &Connection) -> Option<String> {
    let awaited = connection.awaited().filter(|a| a.what != Await::Tunnel)?;
    if connection.is_tunnel() || is_proxied(scene, connection.pid) {
        return None;
    }
    let by_url = || url::Url::parse(awaited.url.as_ref()?).ok()?.host_str().map(str::to_owned);
    awaited.host.as_deref().map(|host| without_port(host).to_owned()).or_else(by_url)
}

/// `proxy.example.com:443` and `[2001:db8::1]:443` without their ports; a name or an address alone stays as it is.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, _)) if name.ends_with(']') || !name.contains(':') => name,
        _ => host,
    }
}

/// Whether a web proxy is set.
fn is_proxied(scene: &Scene<'_>, pid: Pid) -> bool {
    let env = scene.session.settings_for(pid).map(|settings| &settings.env);
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
        .iter()
        .any(|name| env.and_then(|env| env.get(*name)).is_some_and(|s| !s.value.is_empty()))
}

/// The host that goroutines asked at first, where a redirect led them here.
fn led_from(connection: &Connection) -> Option<String> {
    let from = connection.awaited()?.redirected_from.as_ref()?;
    url::Url::parse(from).ok()?.host_str().map(str::to_owned)
}

/// The server that had just answered this process when it began this connection: then a redirect led here.
fn before<'a>(scene: &Scene<'a>, connection: &Connection) -> Option<&'a Connection> {
    let found = scene.session.found_connections.iter().filter(|c| c.pid == connection.pid);
    scene.session.connections.iter().chain(found).rev().find(|c| {
        c.pid == connection.pid
            && c.peer != connection.peer
            && c.since < connection.since
            && !c.is_dns()
            && (c.bytes_received() > 0 || c.received_at.is_some() || c.tls_reply.is_some())
    })
}

/// `proxy.example.com redirected here`.
fn redirect(scene: &Scene<'_>, connection: &Connection, host: Option<&str>) -> String {
    if let Some(name) = led_from(connection) {
        return format!("{name} redirected here");
    }
    let Some(from) = before(scene, connection) else { return "a redirect led here".to_owned() };
    let location = from.response.as_ref().and_then(|r| url::Url::parse(r.location.as_ref()?).ok());
    let seen = location.is_some_and(|url| url.host_str() == host);
    let names = scene.session.names_of(from.peer.ip());
    let name = from.asked_host().or_else(|| names.last().cloned());
    let name = name.unwrap_or_else(|| from.peer.to_string());
    format!("{name} redirected here{}", if seen { "" } else { ", it seems" })
}
