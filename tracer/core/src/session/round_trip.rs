//! Requests that Go programs make, as probes on net/http tell of them: inside TLS too, each with its goroutine and its connection.

use super::Session;
use super::awaited::{Await, Awaited};
use crate::event::{Event, What};
use crate::settings;
use crate::units::{Inode, Nanos, Pid, Tid};
use url::Url;

/// So many redirects at most are followed by net/http's client (`defaultCheckRedirect`).
const REDIRECTS: usize = 10;

/// A request, up to the header of its response. Each redirect leads to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundTrip {
    /// Whose it is.
    pub pid: Pid,
    /// The thread that the goroutine was on when it began.
    pub tid: Tid,
    /// The goroutine, which has one request at a time.
    pub goid: u64,
    /// `GET`, ...
    pub method: String,
    /// Redacted, without its query.
    pub url: String,
    /// The URL that was asked at first, where redirects led here.
    pub led_from: Option<String>,
    /// When it began.
    pub since: Nanos,
    /// The connection that it went to at last.
    pub on: Option<Carrier>,
    /// When it was answered, or failed, or was given up.
    pub ended: Option<Nanos>,
    /// The status of its answer.
    pub status: Option<u16>,
    /// Content-Length of its answer.
    pub content_length: Option<u64>,
    /// What it failed by, where that could be read.
    pub error: Option<String>,
}

/// What a request goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carrier {
    /// Since when.
    pub t: Nanos,
    /// The connection, where it is known.
    pub socket: Option<Inode>,
    /// Whether HTTP/2 is spoken there.
    pub http2: bool,
    /// Whether it is inside TLS.
    pub tls: bool,
}

/// A request that a connection carries, and that is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// When it came there.
    pub t: Nanos,
    /// What its goroutine waits for.
    pub awaited: Awaited,
}

impl RoundTrip {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether a redirect was the answer (RFC 9110 15.4; 304 is none).
    fn is_redirect(&self) -> bool {
        matches!(self.status, Some(301 | 302 | 303 | 307 | 308))
    }

    /// Whether redirects led here from another host.
    fn is_led_elsewhere(&self) -> bool {
        let host = |url: &str| Url::parse(url).ok()?.host_str().map(str::to_owned);
        self.led_from.as_ref().is_some_and(|first| host(first) != host(&self.url))
    }

    /// The URLs that may say what it is for: its own, and the one that was asked at first.
    pub fn urls(&self) -> impl Iterator<Item = Url> {
        let all = [Some(&self.url), self.led_from.as_ref()].into_iter().flatten();
        all.filter_map(|url| Url::parse(url).ok())
    }

    /// The module that it asks for, and which file of it, by the entries of GOPROXY.
    pub fn module(&self, entries: &[settings::ProxyEntry]) -> Option<(String, &'static str)> {
        self.urls().find_map(|url| settings::asked_module(entries, &url))
    }
}

impl Session {
    pub(super) fn apply_round_trip(&mut self, event: &Event) {
        let (t, pid) = (event.t, event.pid);
        match &event.what {
            What::GoRequest { goid, method, url } => self.request(event, *goid, method, url),
            What::GoRequestOn { goid, socket, http2, tls } => {
                let carrier = Carrier { t, socket: *socket, http2: *http2, tls: *tls };
                self.carried(pid, *goid, carrier);
            }
            What::GoResponse { goid, status, content_length, error } => {
                self.answered(event, *goid, (*status, *content_length), error.as_deref());
            }
            // What was asked stays with its connection: it is what the process ended in.
            What::ProcessExit { .. } | What::ProcessGone | What::Exec(_) => {
                let open = self.round_trips.iter_mut().filter(|r| r.pid == pid && r.is_open());
                open.for_each(|trip| trip.ended = Some(t));
            }
            _ => {}
        }
    }

    fn request(&mut self, event: &Event, goid: u64, method: &str, url: &str) {
        let pid = event.pid;
        self.no_longer_asked(pid, goid);
        if let Some(given_up) = self.open_round_trip(pid, goid) {
            given_up.ended = Some(event.t);
        }
        let led_from = self.led_from(pid, goid, url);
        self.round_trips.push(RoundTrip {
            pid,
            tid: event.tid,
            goid,
            method: method.to_owned(),
            url: url.to_owned(),
            led_from,
            since: event.t,
            on: None,
            ended: None,
            status: None,
            content_length: None,
            error: None,
        });
    }

    /// The first of the URLs that a chain of redirects in this goroutine began with (net/http.Client follows them where it was
    /// called), unless it has come back to it.
    fn led_from(&self, pid: Pid, goid: u64, url: &str) -> Option<String> {
        let mut own = self.round_trips.iter().rev().filter(|r| r.pid == pid && r.goid == goid);
        let before = own.next().filter(|before| before.is_redirect())?;
        let first = before.led_from.as_ref().unwrap_or(&before.url);
        let followed = own.take(REDIRECTS).take_while(|r| r.is_redirect()).count();
        (first != url && followed < REDIRECTS).then(|| first.clone())
    }

    fn carried(&mut self, pid: Pid, goid: u64, carrier: Carrier) {
        self.no_longer_asked(pid, goid);
        let Some(trip) = self.open_round_trip(pid, goid) else { return };
        trip.on = Some(carrier);
        let trip = trip.clone();
        let entries = self.proxies_for(pid);
        let modules = trip.module(&entries).map(|(module, _)| module).into_iter().collect();
        let redirected_from = trip.led_from.clone().filter(|_| trip.is_led_elsewhere());
        let awaited = Awaited {
            what: Await::Response,
            goroutine: goid,
            method: Some(trip.method),
            url: Some(trip.url),
            redirected_from,
            host: None,
            record: None,
            modules,
        };
        if let Some(connection) = self.open_connection(carrier.t, pid, carrier.socket) {
            connection.asked.push(Asked { t: carrier.t, awaited });
        }
    }

    fn answered(
        &mut self,
        event: &Event,
        goid: u64,
        answer: (Option<u16>, Option<u64>),
        error: Option<&str>,
    ) {
        self.no_longer_asked(event.pid, goid);
        let Some(trip) = self.open_round_trip(event.pid, goid) else { return };
        trip.ended = Some(event.t);
        (trip.status, trip.content_length) = answer;
        trip.error = error.map(str::to_owned);
        let socket = trip.on.and_then(|on| on.socket).filter(|_| answer.0.is_some());
        if let Some(connection) = self.open_connection(event.t, event.pid, socket) {
            connection.received_at = Some(event.t);
        }
    }

    fn open_round_trip(&mut self, pid: Pid, goid: u64) -> Option<&mut RoundTrip> {
        let mut newest = self.round_trips.iter_mut().rev();
        newest.find(|r| r.pid == pid && r.goid == goid).filter(|r| r.is_open())
    }

    fn no_longer_asked(&mut self, pid: Pid, goid: u64) {
        for connection in self.connections.iter_mut().filter(|c| c.pid == pid) {
            connection.asked.retain(|asked| asked.awaited.goroutine != goid);
        }
    }

    /// The requests that went over a connection.
    pub fn round_trips_on(&self, pid: Pid, socket: Inode) -> impl Iterator<Item = &RoundTrip> {
        self.round_trips
            .iter()
            .filter(move |r| r.pid == pid && r.on.is_some_and(|on| on.socket == Some(socket)))
    }

    /// The entries of GOPROXY as `pid` has them.
    pub fn proxies_for(&self, pid: Pid) -> Vec<settings::ProxyEntry> {
        let settings = self.settings_for(pid);
        settings.map(|s| settings::proxies_in_order(&s.env)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
