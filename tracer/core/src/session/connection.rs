//! Connections, from the call to connect(2) to their last counters.

use super::awaited::{self, Await, Awaited, Known};
use super::{Asked, Bodies, Lookup, Session};
use crate::decode::sockaddr::Address;
use crate::event::{
    DescriptorTarget, Event, ProcessState, Sample, Snapshot, TcpInfo, TcpSample, TlsReply,
    Transport, What,
};
use crate::units::{Fd, Inode, Nanos, Pid, Tid};
use std::cmp::Ordering;
use std::net::SocketAddr;

/// A connection over IP.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Whose it is.
    pub pid: Pid,
    /// The thread that called connect(2).
    pub tid: Tid,
    /// The descriptor.
    pub fd: Fd,
    /// The socket.
    pub socket: Option<Inode>,
    /// TCP or UDP.
    pub transport: Transport,
    /// The other end.
    pub peer: SocketAddr,
    /// When connect(2) was called.
    pub since: Nanos,
    /// When and how the attempt was decided: `ok` or the error's name.
    pub decided: Option<(Nanos, String)>,
    /// The ClientHello that left.
    pub hello: Option<Hello>,
    /// What came back first in TLS.
    pub tls_reply: Option<(Nanos, TlsReply)>,
    /// The first plain request, or the CONNECT to a web proxy; where it was not seen, the CONNECT that git must have sent.
    pub request: Option<Request>,
    /// The head of its response.
    pub response: Option<Response>,
    /// The newest counters, and when they were read.
    pub tcp: Option<(Nanos, TcpSample)>,
    /// The counters before there were only PINGs of HTTP/2, where some came since, and when they were read.
    pub before_pings: Option<(Nanos, TcpInfo)>,
    /// When bytes were last seen to arrive, besides PINGs.
    pub received_at: Option<Nanos>,
    /// A read error: `ECONNRESET`, ...
    pub read_error: Option<(Nanos, String)>,
    /// When it was closed.
    pub closed: Option<Nanos>,
    /// What arrived on it in one piece.
    pub bodies: Bodies,
    /// What its process's goroutines waited for on it when they were last read.
    pub known: Option<Known>,
    /// The requests of Go programs on it that are not answered, oldest first.
    pub asked: Vec<Asked>,
    /// The bytes received when a snapshot showed that no thread waited for it.
    pub left_alone: Option<u64>,
    /// Whether the last counters are exact (from the kernel's destroy message) or sampled.
    pub exact: bool,
}

/// A TLS ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// When it left.
    pub t: Nanos,
    /// The server's name.
    pub sni: Option<String>,
    /// Bytes on the wire.
    pub size: u32,
}

/// A plain HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it left.
    pub t: Nanos,
    /// `GET`, `CONNECT`, ...
    pub method: String,
    /// Absolute, redacted; for CONNECT `host:port`.
    pub url: String,
    /// Whether credentials for the web proxy were sent.
    pub proxy_authorization: bool,
}

/// The head of a plain HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// When it arrived.
    pub t: Nanos,
    /// The status.
    pub status: u16,
    /// Content-Length.
    pub content_length: Option<u64>,
    /// Content-Type.
    pub content_type: Option<String>,
    /// Location, redacted.
    pub location: Option<String>,
}

/// How far a connection has come, and so what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The connection attempt is undecided.
    Connecting,
    /// The attempt failed.
    Refused,
    /// Data is sent and nothing acknowledges it: the path is dead.
    DeadPath,
    /// CONNECT was sent to a web proxy, which has not answered.
    Tunnel,
    /// ClientHello sent, nothing came back.
    Handshake,
    /// A request was sent after the last bytes that came.
    Response,
    /// Bytes came after the last request: a response that began, or an idle connection.
    Receiving,
    /// Nothing was ever sent: a spare connection.
    Unused,
    /// Nobody waits for anything on it.
    Idle,
}

impl Connection {
    /// The newest TCP_INFO.
    pub fn info(&self) -> Option<&TcpInfo> {
        self.tcp.as_ref().map(|(_, sample)| &sample.tcp)
    }

    /// Bytes received so far; 0 where unknown.
    pub fn bytes_received(&self) -> u64 {
        self.info().map_or(0, |i| i.bytes_received)
    }

    /// Whether it was open at `t`, as far as is known. What was captured and what the kernel tells of its end come by two ways, and its
    /// end may come first.
    pub fn is_open_at(&self, t: Nanos) -> bool {
        self.closed.is_none_or(|closed| closed >= t)
    }

    /// Whether it goes to a resolver.
    pub fn is_dns(&self) -> bool {
        self.peer.port() == 53
    }

    /// Whether it is open and something is waited for on it, as far as the kernel's counters tell.
    pub fn waits(&self) -> bool {
        let idle =
            matches!(self.phase(), Phase::Receiving | Phase::Unused | Phase::Refused | Phase::Idle);
        self.closed.is_none() && !idle && !self.is_dns()
    }

    /// Whether the attempt succeeded, as far as is known.
    pub fn is_established(&self) -> bool {
        match &self.decided {
            Some((_, result)) => result == "ok",
            None => self.tcp.as_ref().is_some_and(|(_, s)| s.state == "ESTABLISHED"),
        }
    }

    /// The error that ended the attempt.
    pub fn failure(&self) -> Option<&str> {
        self.decided.as_ref().map(|(_, r)| r.as_str()).filter(|r| *r != "ok")
    }

    /// The name the client asked for: in CONNECT, TLS, or the request.
    pub fn asked_host(&self) -> Option<String> {
        if let Some(sni) = self.hello.as_ref().and_then(|h| h.sni.clone()) {
            return Some(sni);
        }
        let request = self.request.as_ref()?;
        if request.method == "CONNECT" {
            return None;
        }
        url::Url::parse(&request.url).ok()?.host_str().map(str::to_owned)
    }

    /// The size of the ClientHello: as it was seen; or all that was sent and acknowledged, where goroutines say that the handshake
    /// is waited for and nothing has come back.
    pub fn hello_size(&self) -> Option<u32> {
        if let Some(hello) = &self.hello {
            return Some(hello.size);
        }
        let info = self.info().filter(|i| i.bytes_received == 0 && i.unacked == 0)?;
        self.awaited().filter(|awaited| awaited.what == Await::Handshake)?;
        u32::try_from(info.bytes_acked).ok().filter(|size| *size > 0)
    }

    /// What the connection waits for, as far as the kernel's counters tell.
    pub fn phase(&self) -> Phase {
        if self.failure().is_some() {
            return Phase::Refused;
        }
        if !self.is_established() {
            return Phase::Connecting;
        }
        if self.info().is_some_and(is_dead_path) {
            return Phase::DeadPath;
        }
        if let Some(phase) = self.awaited().and_then(phase_of) {
            return phase;
        }
        if self.left_alone.is_some_and(|received| received == self.bytes_received()) {
            return Phase::Idle;
        }
        let Some(info) = self.info() else { return self.phase_by_events() };
        if info.bytes_received == 0 {
            return self.phase_by_events();
        }
        // The reply to CONNECT is a few dozen bytes; a handshake answer never is that short.
        if self.is_tunnel() && info.bytes_received < 400 {
            return Phase::Handshake;
        }
        let info = self.before_pings.as_ref().map_or(info, |(_, before)| before);
        if asked_last(info) { Phase::Response } else { Phase::Receiving }
    }

    /// What goroutines wait for on it: the oldest of its requests that is not answered; or what a reading of them showed, which
    /// says more of the same.
    pub fn awaited(&self) -> Option<&Awaited> {
        match (self.read_awaited(), self.asked.first()) {
            (Some(read), Some(_)) if read.what == Await::Response => Some(read),
            (_, Some(asked)) => Some(&asked.awaited),
            (read, None) => read,
        }
    }

    /// The request that a probe showed, where that is what goroutines are known to wait for.
    pub fn shown_by_probe(&self) -> Option<&Asked> {
        let asked = self.asked.first()?;
        self.awaited().filter(|awaited| **awaited == asked.awaited).map(|_| asked)
    }

    /// What it is waited on for: `path@version`, or the path where the version is not known.
    pub fn awaited_modules(&self) -> Vec<String> {
        let Some(awaited) = self.awaited() else { return Vec::new() };
        let mut modules = awaited.modules.clone();
        for module in self.asked.iter().flat_map(|asked| &asked.awaited.modules) {
            if !modules.contains(module) {
                modules.push(module.clone());
            }
        }
        modules
    }

    /// What goroutines wait for on it, where they were read and nothing but PINGs has come since.
    fn read_awaited(&self) -> Option<&Awaited> {
        let known = self.known.as_ref()?;
        let words = self.before_pings.map_or(self.bytes_received(), |(_, i)| i.bytes_received);
        (words..=self.bytes_received()).contains(&known.received).then_some(&known.awaited)
    }

    /// What git must have asked a web proxy for, where what was sent first was not seen.
    fn take_words(&mut self, process: &ProcessState) {
        let seen = self.request.is_some() || self.hello.is_some() || self.tls_reply.is_some();
        if seen || self.closed.is_some() || !self.is_established() {
            return;
        }
        let Some((info, since)) = self.info().zip(self.last_sent()) else { return };
        self.request = super::tunnel::asked_of(process, self.peer, since, info);
    }

    /// Whether the first request was a CONNECT to a web proxy.
    pub fn is_tunnel(&self) -> bool {
        self.request.as_ref().is_some_and(|r| r.method == "CONNECT")
    }

    /// Nothing was received: what was sent says what is waited for.
    fn phase_by_events(&self) -> Phase {
        if self.is_tunnel() && self.response.is_none() {
            return Phase::Tunnel;
        }
        if self.request.is_some() && self.response.is_none() {
            return Phase::Response;
        }
        if self.response.is_some() {
            return Phase::Receiving;
        }
        match (&self.hello, &self.tls_reply) {
            (Some(_), None) => return Phase::Handshake,
            (Some(_), Some(_)) => return Phase::Response,
            _ => {}
        }
        let sent = self.info().is_some_and(|i| i.bytes_acked > 1 || i.unacked > 0);
        match (sent, self.peer.port()) {
            (false, _) => Phase::Unused,
            (true, 443) => Phase::Handshake,
            (true, _) => Phase::Response,
        }
    }

    /// Since when it waits in its phase.
    pub fn waiting_since(&self) -> Nanos {
        let decided = self.decided.as_ref().map(|(t, _)| *t);
        let sent = self.last_sent();
        match self.phase() {
            Phase::Connecting | Phase::Refused => self.since,
            Phase::Tunnel => self.request.as_ref().map(|r| r.t).or(decided).unwrap_or(self.since),
            Phase::Handshake if !self.is_tunnel() => {
                self.hello.as_ref().map(|h| h.t).or(decided).unwrap_or(self.since)
            }
            Phase::Response | Phase::DeadPath | Phase::Handshake => {
                let asked = self.asked.first().map(|asked| asked.t);
                asked
                    .or(sent)
                    .or(self.request.as_ref().map(|r| r.t))
                    .or(decided)
                    .unwrap_or(self.since)
            }
            Phase::Receiving => {
                self.last_received().or(self.received_at).or(decided).unwrap_or(self.since)
            }
            Phase::Unused | Phase::Idle => decided.unwrap_or(self.since),
        }
    }

    /// When data was last sent, by TCP's own clock. PINGs do not count.
    pub fn last_sent(&self) -> Option<Nanos> {
        let (t, info) = self.last_words()?;
        Some(t.since(Nanos::from_millis(info.last_data_sent_ms.into())))
    }

    /// When data was last received, by TCP's own clock; none if there never was any. PINGs do not count.
    pub fn last_received(&self) -> Option<Nanos> {
        let (t, info) = self.last_words()?;
        (info.bytes_received > 0)
            .then(|| t.since(Nanos::from_millis(info.last_data_received_ms.into())))
    }

    /// Counters that no PING has touched, or the newest.
    fn last_words(&self) -> Option<(Nanos, TcpInfo)> {
        let newest = || self.tcp.as_ref().map(|(t, sample)| (*t, sample.tcp));
        self.before_pings.or_else(newest)
    }
}

/// The phase of a connection that stands, by what goroutines wait for on it.
fn phase_of(awaited: &Awaited) -> Option<Phase> {
    match awaited.what {
        Await::Idle => Some(Phase::Idle),
        Await::Tunnel => Some(Phase::Tunnel),
        Await::Handshake => Some(Phase::Handshake),
        Await::Response => Some(Phase::Response),
        Await::Body => Some(Phase::Receiving),
        Await::Connect | Await::LookUp => None,
    }
}

/// Whether the last data on a connection was sent, and not received.
///
/// The kernel keeps both times in ticks of 1 to 10 ms, in which a near server's answer and the next request fit together. A
/// peer that answers at once acknowledges by its answer; an acknowledgement that comes alone, a little later (40 ms on Linux,
/// at most 500 ms by RFC 9293 3.8.6.3), is for data that it does not answer. After that it is one of a keep-alive probe.
fn asked_last(info: &TcpInfo) -> bool {
    match info.last_data_sent_ms.cmp(&info.last_data_received_ms) {
        Ordering::Less => true,
        Ordering::Greater => false,
        Ordering::Equal => (1..=500)
            .contains(&info.last_data_received_ms.saturating_sub(info.last_ack_received_ms)),
    }
}

/// Sent data is retransmitted, or probes go unanswered. One lost segment proves nothing.
fn is_dead_path(info: &TcpInfo) -> bool {
    let resending = info.unacked > 0 && (info.retransmits >= 2 || info.backoff >= 2);
    resending || info.probes >= 2
}

impl Session {
    pub(super) fn apply_connection(&mut self, event: &Event) {
        match &event.what {
            What::Connect { fd, socket, transport, peer } => {
                self.connect(event, *fd, *socket, *transport, peer);
            }
            What::ConnectEnd { fd, socket, result } => {
                self.decide(event, *fd, *socket, result);
            }
            What::TcpClosed(sample) => self.tcp_closed(event.t, sample),
            What::Sample(sample) => self.sampled(event.t, sample),
            What::Snapshot(snapshot) => self.compared(event.t, snapshot),
            _ => self.apply_first_bytes(event),
        }
    }

    fn apply_first_bytes(&mut self, event: &Event) {
        match &event.what {
            What::TlsClientHello { socket, sni, size } => {
                if let Some(c) = self.open_connection(event.t, event.pid, *socket) {
                    c.hello = Some(Hello { t: event.t, sni: sni.clone(), size: *size });
                    c.decided.get_or_insert((event.t, "ok".to_owned()));
                }
            }
            What::TlsReply { socket, reply } => {
                if let Some(c) = self.open_connection(event.t, event.pid, *socket) {
                    c.tls_reply = Some((event.t, reply.clone()));
                    c.received_at = Some(event.t);
                }
            }
            What::HttpRequest { socket, method, url, proxy_authorization } => {
                if let Some(c) = self.open_connection(event.t, event.pid, *socket) {
                    c.request = Some(Request {
                        t: event.t,
                        method: method.clone(),
                        url: url.clone(),
                        proxy_authorization: *proxy_authorization,
                    });
                    c.decided.get_or_insert((event.t, "ok".to_owned()));
                }
            }
            What::HttpResponse { socket, status, content_length, content_type, location } => {
                if let Some(c) = self.open_connection(event.t, event.pid, *socket) {
                    c.response = Some(Response {
                        t: event.t,
                        status: *status,
                        content_length: *content_length,
                        content_type: content_type.clone(),
                        location: location.clone(),
                    });
                    c.received_at = Some(event.t);
                }
            }
            What::Read { socket, bytes, error, .. } => {
                if let Some(c) = self.open_connection(event.t, event.pid, *socket) {
                    if bytes.is_some_and(|b| b > 0) {
                        c.received_at = Some(event.t);
                    }
                    if let Some(error) = error.as_ref().filter(|e| *e != "EAGAIN") {
                        c.read_error = Some((event.t, error.clone()));
                    }
                }
            }
            _ => {}
        }
    }

    fn connect(
        &mut self,
        event: &Event,
        fd: Fd,
        socket: Option<Inode>,
        transport: Transport,
        peer: &Address,
    ) {
        let Address::Inet(peer) = peer else { return };
        // Without a name there is nothing to reach: address families are sorted by connecting datagram sockets that send
        // nothing (RFC 6724; Go uses port 9, glibc the port asked for).
        if transport == Transport::Udp && peer.port() != 53 {
            return;
        }
        // A second connect(2) on the same socket asks for the result of the first (connect(2), EALREADY).
        if transport == Transport::Tcp && self.open_connection(event.t, event.pid, socket).is_some()
        {
            return;
        }
        // The descriptor's number is in use again: what it was before is closed.
        for old in self.connections.iter_mut().filter(|c| c.pid == event.pid && c.fd == fd) {
            old.closed.get_or_insert(event.t);
        }
        self.connections.push(Connection {
            pid: event.pid,
            tid: event.tid,
            fd,
            socket,
            transport,
            peer: *peer,
            since: event.t,
            decided: None,
            hello: None,
            tls_reply: None,
            request: None,
            response: None,
            tcp: None,
            before_pings: None,
            received_at: None,
            read_error: None,
            closed: None,
            bodies: Bodies::default(),
            known: None,
            left_alone: None,
            asked: Vec::new(),
            exact: false,
        });
    }

    fn decide(&mut self, event: &Event, fd: Fd, socket: Option<Inode>, result: &str) {
        if matches!(result, "EINPROGRESS" | "EALREADY" | "EINTR") {
            return;
        }
        let t = event.t;
        let result = if result == "EISCONN" { "ok" } else { result };
        let open = self.connections.iter_mut().rev().find(|c| {
            c.pid == event.pid
                && c.is_open_at(t)
                && if socket.is_some() { c.socket == socket } else { c.fd == fd }
        });
        if let Some(c) = open {
            c.decided.get_or_insert((t, result.to_owned()));
        }
    }

    pub(super) fn open_connection(
        &mut self,
        t: Nanos,
        pid: Pid,
        socket: Option<Inode>,
    ) -> Option<&mut Connection> {
        let socket = socket?;
        self.connections
            .iter_mut()
            .rev()
            .find(|c| c.socket == Some(socket) && c.is_open_at(t) && (c.pid == pid || pid.0 == 0))
    }

    /// The connection that a socket's last counters are of, by its place: the one with that local address; else, of those whose
    /// local address is not known, the oldest that had begun, closed ones first: their sockets go before open ones do. The
    /// half of a server on the same machine has the addresses the other way round, and is none of ours.
    pub(super) fn whose_end(&self, t: Nanos, sample: &TcpSample) -> Option<usize> {
        let ours = |c: &Connection| {
            !c.exact && c.transport == Transport::Tcp && c.peer == sample.peer && c.since <= t
        };
        let all = || self.connections.iter().enumerate().filter(|(_, c)| ours(c));
        let by_address =
            all().rev().find(|(_, c)| c.tcp.as_ref().is_some_and(|(_, l)| l.local == sample.local));
        let unsampled = || all().filter(|(_, c)| c.tcp.is_none());
        by_address
            .or_else(|| unsampled().find(|(_, c)| c.closed.is_some()))
            .or_else(|| unsampled().next())
            .map(|(n, _)| n)
    }

    fn tcp_closed(&mut self, t: Nanos, sample: &TcpSample) {
        let known = self.whose_end(t, sample).and_then(|n| self.connections.get_mut(n));
        if let Some(c) = known {
            if sample.tcp.bytes_received > c.bytes_received() {
                c.received_at = Some(t);
            }
            self.bytes_closed += sample.tcp.bytes_received;
            c.bodies.note(t, &sample.tcp);
            c.tcp = Some((t, sample.clone()));
            c.exact = true;
            c.closed.get_or_insert(t);
        }
    }

    fn sampled(&mut self, t: Nanos, sample: &Sample) {
        for tcp in &sample.connections {
            self.take_counters(t, tcp);
        }
    }

    /// A socket that is read again was not closed: its end was taken for another's.
    fn reopen(&mut self, tcp: &TcpSample) {
        if tcp.inode.0 == 0 || tcp.state != "ESTABLISHED" {
            return;
        }
        let newest = self.connections.iter_mut().rev().find(|c| c.socket == Some(tcp.inode));
        let Some(c) = newest.filter(|c| c.closed.is_some() && c.peer == tcp.peer) else { return };
        if self.processes.contains_key(&c.pid) {
            c.closed = None;
            c.exact = false;
        }
    }

    fn take_counters(&mut self, t: Nanos, tcp: &TcpSample) {
        self.reopen(tcp);
        let before_pings = self.movement.before_pings(tcp.inode);
        let open = self.open_connection(t, Pid(0), Some(tcp.inode));
        let Some(c) = open.filter(|c| !c.exact) else { return };
        c.before_pings = before_pings;
        if tcp.tcp.bytes_received > c.bytes_received() && before_pings.is_none() {
            c.received_at = Some(t);
        }
        if tcp.state == "ESTABLISHED" {
            c.decided.get_or_insert((t, "ok".to_owned()));
        }
        c.bodies.note(t, &tcp.tcp);
        c.tcp = Some((t, tcp.clone()));
    }

    /// What goroutines wait for, at the connections and look-ups of their processes.
    pub(super) fn take_goroutines(&mut self, t: Nanos, snapshot: &Snapshot) {
        for process in &snapshot.processes {
            let Some(go) = process.go.as_ref().filter(|go| go.unreadable.is_none()) else {
                continue;
            };
            let by_fd = awaited::of(go);
            let at_socket = |socket: Option<Inode>| {
                let target = DescriptorTarget::Socket(socket?);
                let opened = process.descriptors.iter().find(|d| d.target == target)?;
                by_fd.get(&opened.fd).cloned()
            };
            let found = self.found_connections.iter_mut();
            for c in self.connections.iter_mut().chain(found) {
                if c.pid == process.pid && c.closed.is_none() {
                    let received = c.bytes_received();
                    c.known = at_socket(c.socket).map(|awaited| Known { t, received, awaited });
                }
            }
            let found = std::mem::take(&mut self.found_lookups).into_iter();
            self.found_lookups = found
                .flat_map(|l| if l.pid == process.pid { l.by_name(at_socket) } else { vec![l] })
                .collect();
            let by_libc = awaited::getaddrinfo(go);
            let open = |l: &&mut Lookup| l.pid == process.pid && !l.is_over();
            for lookup in self.lookups.iter_mut().chain(&mut self.found_lookups).filter(open) {
                let asked = lookup.questions.iter().rev().find_map(|q| at_socket(q.socket));
                if let Some(asked) = asked.or_else(|| by_libc.clone()) {
                    lookup.take_name(&asked);
                }
            }
        }
    }

    /// A snapshot shows which sockets still exist.
    fn compared(&mut self, t: Nanos, snapshot: &Snapshot) {
        for socket in &snapshot.sockets {
            let (Some(tcp), Some(peer)) = (socket.tcp, socket.peer) else { continue };
            let sample = TcpSample {
                inode: socket.inode,
                local: socket.local,
                peer,
                state: socket.state.clone(),
                tcp,
            };
            self.take_counters(t, &sample);
        }
        for process in snapshot.processes.iter().filter(|p| !p.descriptors.is_empty()) {
            let has = |inode: Option<Inode>| match inode {
                Some(inode) => process
                    .descriptors
                    .iter()
                    .any(|d| d.target == crate::event::DescriptorTarget::Socket(inode)),
                None => true,
            };
            for c in self.connections.iter_mut().filter(|c| c.pid == process.pid) {
                if !has(c.socket) {
                    c.closed.get_or_insert(t);
                }
                c.take_words(process);
            }
            for l in self.lookups.iter_mut().filter(|l| l.pid == process.pid && !l.is_over()) {
                if !l.questions.iter().any(|q| has(q.socket)) {
                    l.ended = Some(t);
                }
            }
        }
    }
}
