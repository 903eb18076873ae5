//! Requests that were answered with an error status, by what go says about them or by the answer itself.

use super::said;
use super::scene::Scene;
use super::target::Target;
use crate::event::ProcessRole;
use crate::report::{Peer, Role};
use crate::session::{Connection, RoundTrip};
use crate::settings::{self, FallsThrough, ProxyEntry};
use crate::text;
use crate::units::{Nanos, Pid};
use std::collections::HashSet;
use std::net::IpAddr;
use url::Url;

/// A request that was answered with an error status.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// When it became known.
    pub(super) t: Nanos,
    /// Who asked.
    pub(super) pid: Pid,
    /// What was asked.
    pub(super) asked: Asked,
    /// The status.
    pub(super) status: u16,
    /// The status as it was said: `429 Too Many Requests`.
    pub(super) said: String,
    /// The reason the server gave.
    pub(super) reason: Option<String>,
    /// The line of go, where it said so: then it is what ended the command.
    pub(super) line: Option<String>,
}

/// A URL that go asks, and what for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The URL, redacted.
    pub(super) url: Url,
    /// `path@version`, or `path`.
    pub(super) module: Option<String>,
    /// `its zip file`.
    file: &'static str,
    /// What the server is for.
    pub(super) role: Option<Role>,
    /// Why that follows.
    why: String,
    /// Its address, where a connection to it was seen.
    address: Option<IpAddr>,
}

impl Asked {
    /// What `pid` asks with this URL.
    pub(super) fn of(scene: &Scene<'_>, pid: Pid, url: Url) -> Asked {
        let entries = scene.session.proxies_for(pid);
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(0);
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let guess = scene.session.settings_for(pid).and_then(|settings| {
            let facts = settings::Connection {
                host: Some(&host),
                address: host.parse().ok(),
                port,
                names: &[],
                path: Some(&path),
                process: ProcessRole::Go,
                modules: &[],
                after_proxy_response: false,
            };
            settings::role_of(&facts, settings)
        });
        let (module, file) = match settings::asked_module(&entries, &url) {
            Some((module, file)) => (Some(module), file),
            None => (None, ""),
        };
        let address = host.parse().ok().or_else(|| address_of(scene, pid, &host, port));
        let why = match settings::entry_of(&entries, &url).and_then(|n| entries.get(n)) {
            Some(entry) => format!("entry {} of GOPROXY", entry.index),
            None => guess.as_ref().map(|g| g.why.clone()).unwrap_or_default(),
        };
        Asked { url, module, file, role: guess.map(|g| g.role), why, address }
    }

    /// `example.com/lib v1.4.2, its zip file`.
    pub(super) fn question(&self) -> Option<String> {
        let module = self.module.as_deref()?;
        Some(format!("{}, {}", text::module(module), self.file))
    }

    /// The server's name.
    pub(super) fn host(&self) -> String {
        self.url.host_str().unwrap_or("?").to_owned()
    }

    /// The server's port.
    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(0)
    }

    /// `192.0.2.10 port 443, entry 1 of GOPROXY`.
    pub(super) fn server_line(&self) -> String {
        let place = self.address.map_or_else(|| self.host(), |ip| ip.to_string());
        let why = if self.why.is_empty() { String::new() } else { format!(", {}", self.why) };
        format!("{place} port {}{why}", self.port())
    }

    /// The peer of a finding.
    pub(super) fn peer(&self) -> Peer {
        Peer {
            host: Some(self.host()),
            address: self.address.map(|ip| ip.to_string()),
            port: Some(self.port()),
            protocol: "tcp".to_owned(),
            ..Peer::default()
        }
    }
}

fn address_of(scene: &Scene<'_>, pid: Pid, host: &str, port: u16) -> Option<IpAddr> {
    let leads = |c: &&Connection| {
        c.pid == pid
            && c.peer.port() == port
            && (c.asked_host().as_deref() == Some(host)
                || scene.session.names_of(c.peer.ip()).iter().any(|n| n == host))
    };
    scene.session.connections.iter().rev().find(leads).map(|c| c.peer.ip())
}

/// The refusals that ended the command: those go speaks of, and where it speaks of none (`-json` puts errors on standard output),
/// those that were seen and do not lead to the next entry of GOPROXY.
pub(super) fn refusals(scene: &Scene<'_>) -> Vec<Refusal> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let spoken: Vec<Refusal> =
        said::lines(scene, "reading http").iter().filter_map(|line| spoken(scene, line)).collect();
    if !spoken.is_empty() {
        return spoken;
    }
    let found = Found::of(scene);
    let answered =
        scene.session.round_trips.iter().filter_map(|trip| answered(scene, trip, &found));
    let plain = scene.session.connections.iter().filter_map(|c| seen(scene, c));
    answered.chain(plain).collect()
}

/// `go: M@V: reading URL: 429 Too Many Requests`, then the server's reason (cmd/go/internal/web.HTTPError).
fn spoken(scene: &Scene<'_>, line: &said::Line<'_>) -> Option<Refusal> {
    let (_, rest) = line.text.split_once("reading http")?;
    let (_, said) = rest.split_once(": ")?;
    let status: u16 = said.split(' ').next()?.parse().ok()?;
    let asked = Asked::of(scene, line.pid, said::url_in(line.text)?);
    is_refusal(status).then(|| Refusal {
        t: line.t,
        pid: line.pid,
        asked,
        status,
        said: said.to_owned(),
        reason: line.server_response(),
        line: Some(line.text.to_owned()),
    })
}

/// A request of which a probe told the status.
fn answered(scene: &Scene<'_>, trip: &RoundTrip, found: &Found) -> Option<Refusal> {
    let status = trip.status.filter(|status| is_refusal(*status))?;
    let socket = trip.on.and_then(|on| on.socket);
    let over = |c: &&Connection| c.pid == trip.pid && socket.is_some() && c.socket == socket;
    let connection = scene.session.connections.iter().rev().find(over);
    // Where redirects led here, it is the answer of the entry that was asked first.
    let asked = trip.urls().last()?;
    let refusal = refused(scene, trip.pid, connection, (trip.ended?, status), &asked, &trip.url)?;
    let is_a_guess = matches!(status, 404 | 410) && found.explains(scene, trip);
    (!is_a_guess).then_some(refusal)
}

/// The modules that were found. Which part of an import path is the module, go finds out by asking for each
/// (modload.queryPrefixModules): those that do not exist are no failure where one does.
#[derive(Default)]
struct Found {
    /// Their paths.
    modules: HashSet<(Pid, String)>,
    /// What is above them.
    above: HashSet<(Pid, String)>,
}

impl Found {
    fn of(scene: &Scene<'_>) -> Found {
        let mut found = Found::default();
        let is_found = |trip: &&RoundTrip| trip.status.is_some_and(|s| (200..300).contains(&s));
        for trip in scene.session.round_trips.iter().filter(is_found) {
            let Some(path) = path(scene, trip) else { continue };
            found.above.extend(above(&path).map(|above| (trip.pid, above.to_owned())));
            found.modules.insert((trip.pid, path));
        }
        found
    }

    /// Whether there is a module above or below the one that was asked for.
    fn explains(&self, scene: &Scene<'_>, trip: &RoundTrip) -> bool {
        let Some(path) = path(scene, trip) else { return false };
        above(&path).any(|above| self.modules.contains(&(trip.pid, above.to_owned())))
            || self.above.contains(&(trip.pid, path))
    }
}

/// The path of the module that is asked for.
fn path(scene: &Scene<'_>, trip: &RoundTrip) -> Option<String> {
    let (module, _) = trip.module(&scene.session.proxies_for(trip.pid))?;
    Some(module.split('@').next().unwrap_or_default().to_owned())
}

/// `a/b` and `a` of `a/b/c`.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

/// A plain answer, of a program whose requests no probe tells.
fn seen(scene: &Scene<'_>, connection: &Connection) -> Option<Refusal> {
    let response = connection.response.as_ref().filter(|r| is_refusal(r.status))?;
    let request = connection.request.as_ref().filter(|r| r.method != "CONNECT")?;
    let mut told =
        connection.socket.map(|socket| scene.session.round_trips_on(connection.pid, socket));
    if told.as_mut().is_some_and(|told| told.next().is_some()) {
        return None;
    }
    let url = Url::parse(&request.url).ok()?;
    let answer = (response.t, response.status);
    refused(scene, connection.pid, Some(connection), answer, &url, &request.url)
}

/// The answer of `url`, where `asked` is what go had asked for, unless it leads on.
fn refused(
    scene: &Scene<'_>,
    pid: Pid,
    connection: Option<&Connection>,
    (t, status): (Nanos, u16),
    asked: &Url,
    url: &str,
) -> Option<Refusal> {
    if !scene.is_go(pid) {
        return None;
    }
    let entries = scene.session.proxies_for(pid);
    let entry = settings::entry_of(&entries, asked).and_then(|n| entries.get(n));
    // A proxy's answer about its /sumdb/ service is a question about what it can do, not about a module.
    if falls_through(entry, status) || asked.path().contains("/sumdb/") {
        return None;
    }
    let mut known = Asked::of(scene, pid, Url::parse(url).ok()?);
    if let Some(connection) = connection {
        known.role = known.role.or(Target::of(scene, connection).role);
        known.address = Some(connection.peer.ip());
    }
    if let (None, Some((module, file))) = (&known.module, settings::asked_module(&entries, asked)) {
        (known.module, known.file) = (Some(module), file);
    }
    // Of an origin or a repository only the command itself knows whether the answer ended anything.
    known.module.as_ref()?;
    let said = format!("status {status}");
    Some(Refusal { t, pid, asked: known, status, said, reason: None, line: None })
}

/// 407 is a web proxy's (`tunnel-auth`), 304 and redirects are no refusals.
fn is_refusal(status: u16) -> bool {
    (400..600).contains(&status) && status != 407
}

/// Whether go goes on to the next entry of GOPROXY after this answer.
pub(super) fn falls_through(entry: Option<&ProxyEntry>, status: u16) -> bool {
    match entry.map(|e| e.falls_through) {
        Some(FallsThrough::OnAnyError) => true,
        Some(FallsThrough::OnNotFound) => matches!(status, 404 | 410),
        Some(FallsThrough::Never) | None => false,
    }
}
