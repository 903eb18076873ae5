//! The requests of a run: those of Go programs that probes tell of, and the plain ones that were seen on connections without such.

use super::build::span;
use super::{Attempt, ModuleRow, Span, SpanType};
use crate::session::{Connection, RoundTrip, Session};
use crate::settings::{self, ProxyEntry};
use crate::units::{Inode, Pid};
use std::collections::HashMap;
use url::Url;

/// What the requests of a run are for, looked up once.
pub(super) struct Requests<'a> {
    /// In their order, each with its module.
    all: Vec<Request<'a>>,
    /// How many each connection carried.
    carried: HashMap<(Pid, Inode), u64>,
    entries: HashMap<Pid, Vec<ProxyEntry>>,
}

struct Request<'a> {
    trip: &'a RoundTrip,
    /// `path@version`, or the path where no version is asked for.
    module: Option<String>,
}

impl<'a> Requests<'a> {
    pub(super) fn of(session: &'a Session) -> Requests<'a> {
        let mut entries: HashMap<Pid, Vec<ProxyEntry>> = HashMap::new();
        let mut carried: HashMap<(Pid, Inode), u64> = HashMap::new();
        let mut all = Vec::new();
        for trip in &session.round_trips {
            let entries = entries.entry(trip.pid).or_insert_with(|| session.proxies_for(trip.pid));
            let module = trip.module(entries).map(|(module, _)| module);
            if let Some(socket) = trip.on.and_then(|on| on.socket) {
                *carried.entry((trip.pid, socket)).or_default() += 1;
            }
            all.push(Request { trip, module });
        }
        Requests { all, carried, entries }
    }

    /// Requests that went over a connection.
    pub(super) fn total(&self, session: &Session) -> u64 {
        let plain = session.connections.iter().filter(|c| c.request.is_some());
        let plain = plain.filter(|c| c.is_tunnel() || self.on(c) == 0).count();
        let carried = self.all.iter().filter(|request| request.trip.on.is_some()).count();
        (plain + carried) as u64
    }

    /// Requests that went over this connection, but for the one that made a tunnel of it.
    pub(super) fn over(&self, connection: &Connection) -> u64 {
        let plain = connection.request.is_some() && !connection.is_tunnel();
        self.on(connection).max(u64::from(plain))
    }

    /// Whether the plain request that was seen on it is one of these.
    pub(super) fn tell_of(&self, connection: &Connection) -> bool {
        !connection.is_tunnel() && self.on(connection) > 0
    }

    fn on(&self, connection: &Connection) -> u64 {
        let key = connection.socket.map(|socket| (connection.pid, socket));
        key.and_then(|key| self.carried.get(&key)).copied().unwrap_or(0)
    }

    /// The hosts of requests that went over a connection which is not known.
    pub(super) fn without_connection(&self) -> impl Iterator<Item = String> {
        let unknown = |on: &crate::session::Carrier| on.socket.is_none();
        let strays = self.all.iter().filter(move |r| r.trip.on.as_ref().is_some_and(unknown));
        strays.filter_map(|r| Url::parse(&r.trip.url).ok()?.host_str().map(str::to_owned))
    }

    /// A span for each.
    pub(super) fn spans(&self, session: &Session) -> Vec<Span> {
        self.all.iter().map(|request| request.span(session)).collect()
    }

    /// A row for each module that was asked for, and in each what came of it.
    pub(super) fn in_modules(&self, session: &Session, rows: &mut Vec<ModuleRow>) {
        let mut known: HashMap<(String, String), usize> = HashMap::new();
        for (n, row) in rows.iter().enumerate() {
            known.insert((row.path.clone(), row.version.clone()), n);
        }
        for request in &self.all {
            let Some((path, version)) = request.module.as_deref().and_then(|m| m.split_once('@'))
            else {
                continue;
            };
            let key = (path.to_owned(), version.to_owned());
            let at = *known.entry(key).or_insert_with(|| {
                rows.push(request.row(session, path, version));
                rows.len() - 1
            });
            if let Some(row) = rows.get_mut(at) {
                self.add(request, row);
            }
        }
    }

    fn add(&self, request: &Request<'_>, row: &mut ModuleRow) {
        let trip = request.trip;
        row.start_ns = row.start_ns.min(trip.since);
        row.end_ns = row.end_ns.and_then(|end| Some(end.max(trip.ended?)));
        if let (Some(on), Some(end)) = (trip.on, trip.ended) {
            *row.wait_ns.entry("first_byte".to_owned()).or_default() += end.since(on.t).0;
        }
        let entries = self.entries.get(&trip.pid).map_or(&[][..], Vec::as_slice);
        let Some(attempt) = attempt(trip, entries) else { return };
        match row.attempts.iter_mut().find(|known| known.entry == attempt.entry) {
            // What was refused is what matters of the requests to one entry; a redirect is no end.
            Some(known) if !has_failed(known) => *known = attempt,
            Some(_) => {}
            None => row.attempts.push(attempt),
        }
    }
}

fn has_failed(attempt: &Attempt) -> bool {
    attempt.error.is_some() || attempt.status.is_some_and(|status| status >= 400)
}

/// The entry of GOPROXY that a request, or the one that was redirected to it, belongs to, and what came of it.
fn attempt(trip: &RoundTrip, entries: &[ProxyEntry]) -> Option<Attempt> {
    // A proxy that passes on the checksum database is asked about that, and not for the module.
    let url = trip.urls().last().filter(|url| !url.path().contains("/sumdb/"))?;
    let entry = settings::entry_of(entries, &url).and_then(|n| entries.get(n))?.text.clone();
    let failed = trip.ended.is_some() && trip.status.is_none();
    let error = failed.then(|| trip.error.clone().unwrap_or_else(|| "no answer".to_owned()));
    let host = url.host_str().unwrap_or_default().to_owned();
    Some(Attempt { entry, host, status: trip.status, error })
}

impl Request<'_> {
    fn row(&self, session: &Session, path: &str, version: &str) -> ModuleRow {
        ModuleRow {
            path: path.to_owned(),
            version: version.to_owned(),
            result: super::work::result(session, self.trip.pid, None).to_owned(),
            start_ns: self.trip.since,
            end_ns: self.trip.ended,
            ..ModuleRow::default()
        }
    }

    fn span(&self, session: &Session) -> Span {
        let trip = self.trip;
        let name = format!("{} {}", trip.method, trip.url);
        let mut made = span(SpanType::Http, name, trip.since, trip.ended, trip.pid, trip.tid)
            .attr("http.request.method", trip.method.clone())
            .attr("url.full", trip.url.clone());
        if let Ok(url) = Url::parse(&trip.url) {
            made = made
                .attr("server.address", url.host_str().unwrap_or_default())
                .attr("server.port", url.port_or_known_default());
        }
        if let Some(on) = trip.on {
            made = made.attr("network.protocol.version", if on.http2 { "2" } else { "1.1" });
            made = match peer(session, trip) {
                Some(peer) => made
                    .attr("network.peer.address", peer.ip().to_string())
                    .attr("network.peer.port", peer.port()),
                None => made,
            };
        }
        if let Some(length) = trip.content_length {
            made = made.attr("http.response.body.size", length);
        }
        let made = match (trip.status, trip.ended) {
            (Some(status), _) => {
                let answered = made.attr("http.response.status_code", status);
                if status < 400 { answered } else { answered.failed(&status.to_string()) }
            }
            (None, Some(_)) => made.failed(trip.error.as_deref().unwrap_or("no response was seen")),
            (None, None) => made,
        };
        Span { goid: Some(trip.goid), module: self.module.clone(), ..made }
    }
}

/// The other end of the connection that a request went over.
fn peer(session: &Session, trip: &RoundTrip) -> Option<std::net::SocketAddr> {
    let socket = trip.on?.socket?;
    let mut newest = session.connections.iter().rev();
    Some(newest.find(|c| c.pid == trip.pid && c.socket == Some(socket))?.peer)
}
