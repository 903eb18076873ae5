//! Calls of Go functions, and what go says on standard error.

use super::super::calls::{Open, Values};
use super::super::probes::GoPoints;
use super::super::requests;
use super::{Translator, pid, target};
use crate::capture::said::{STDERR, Whole};
use gmtrace_abi as abi;
use gmtrace_abi::{Head, Kind};
use gmtrace_core::decode::sockaddr::Address;
use gmtrace_core::event::{Event, KnownBy, LockKind, LockMode, Transport, What};
use gmtrace_core::golang::probes::{Function, What as Meaning};
use gmtrace_core::units::{Fd, Inode, Pid};
use nix::errno::Errno;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

impl Translator {
    pub(super) fn call(
        &mut self,
        head: &Head,
        kind: Option<Kind>,
        call: &abi::golang::Call,
        go: &GoPoints,
    ) {
        let (which, goid) = ((call.point, call.depth), call.goid);
        let (values, texts) = (&call.values, &call.texts);
        let Some(point) = go.get(which.0) else { return };
        let goroutine = (pid(head.pid), goid);
        if kind == Some(Kind::GoEntry) {
            let values = Values::read(&point.entry, values, texts);
            self.request(head, goroutine, point.function, &values);
            return self.calls.begins(goroutine, which, head.t, point, values);
        }
        let values = Values::read(&point.at_return, values, texts);
        let Some(call) = self.calls.ends(goroutine, which) else { return };
        match call.function {
            Function::Connect => self.go_connected(head, goroutine, &call, &values),
            Function::LockFile => self.go_locked(head, &call, &values),
            Function::RoundTrip => self.tell(head, requests::response(goid, &values)),
            _ => {}
        }
    }

    /// A request begins, or goes to its connection.
    pub(super) fn request(
        &mut self,
        head: &Head,
        (pid, goid): (Pid, u64),
        function: Function,
        values: &Values,
    ) {
        match function {
            Function::RoundTrip => self.tell_some(head, requests::request(goid, values)),
            Function::Http1 | Function::Http2 => {
                let (fd, tls) = requests::connection(values);
                let socket = fd.and_then(|fd| self.socket(pid, fd));
                let http2 = function == Function::Http2;
                self.tell(head, What::GoRequestOn { goid, socket, http2, tls });
            }
            _ => {}
        }
    }

    /// The socket that a descriptor is of: the one that was connected by it last. Where that was not seen, the one that it is now.
    pub(super) fn socket(&self, pid: Pid, fd: Fd) -> Option<Inode> {
        let connected = self.attempts.get(&(pid, fd)).map(|(_, socket)| *socket);
        connected.or_else(|| {
            let link = target(u32::try_from(pid.0).ok()?, fd)?;
            link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok().map(Inode)
        })
    }

    /// An attempt that failed before the kernel began it: there is no route.
    pub(super) fn go_connected(
        &mut self,
        head: &Head,
        goroutine: (Pid, u64),
        call: &Open,
        values: &Values,
    ) {
        let Some(errno) = values.errno(&["connect"]) else { return };
        let descriptor = call.values.number(Meaning::Descriptor);
        let Some(fd) = descriptor.and_then(|fd| i32::try_from(fd).ok()).map(Fd) else { return };
        let begun = self.attempts.get(&(goroutine.0, fd)).is_some_and(|(t, _)| *t >= call.since);
        let Some(dial) = self.calls.inside(goroutine, Function::DialOne).filter(|_| !begun) else {
            return;
        };
        let Some(peer) = peer_of(&dial.values) else { return };
        let network = dial.values.text(Meaning::Network).unwrap_or_default();
        let transport = if network.starts_with("udp") { Transport::Udp } else { Transport::Tcp };
        let (socket, peer) = (None, Address::Inet(peer));
        self.tell(head, What::Connect { fd, socket, transport, peer });
        let result = format!("{:?}", Errno::from_raw(errno));
        self.tell(head, What::ConnectEnd { fd, socket, result });
    }

    /// A lock that the filesystem refused: the kernel's own tracepoint is behind that.
    pub(super) fn go_locked(&mut self, head: &Head, call: &Open, values: &Values) {
        let Some(errno) = values.errno(&["Lock", "RLock"]) else { return };
        let descriptor = call.values.number(Meaning::Descriptor);
        let Some(fd) = descriptor.and_then(|fd| i32::try_from(fd).ok()).map(Fd) else { return };
        let path = values.text(Meaning::Path).map(Cow::into_owned).unwrap_or_default();
        let mode = match call.values.number(Meaning::LockMode) {
            Some(1) => LockMode::Shared,
            _ => LockMode::Exclusive,
        };
        let kind = LockKind::Flock;
        self.tell(head, What::LockRequest { fd, path: path.clone(), kind, mode });
        let result = Some(format!("{:?}", Errno::from_raw(errno)));
        self.tell(head, What::LockEnd { fd, path, result, known_by: KnownBy::Return });
    }

    pub(super) fn wrote(&mut self, head: &Head, length: u64, written: &[u8]) {
        let now = self.clock.at(head.t);
        let cut = length > written.len() as u64;
        let ends_line = !cut && written.last() == Some(&b'\n');
        let said = self.said.entry(pid(head.pid)).or_default();
        let Whole { text, truncated } = said.add(written, cut, now);
        self.tell(head, What::Output { fd: STDERR, text, truncated, ends_line });
    }

    /// Unfinished lines whose writers have been silent for a moment; those of all, where the run is over.
    pub fn old_lines(&mut self, over: bool) -> Vec<Event> {
        let now = self.clock.now();
        let old: Vec<(Pid, String)> = self
            .said
            .iter_mut()
            .filter(|(_, said)| said.is_unfinished() && (over || said.is_old(now)))
            .filter_map(|(pid, said)| Some((*pid, said.rest()?)))
            .collect();
        let event = |(pid, text): (Pid, String)| {
            let what = What::Output { fd: STDERR, text, truncated: false, ends_line: false };
            Event { t: now, pid, tid: pid.into(), what }
        };
        old.into_iter().map(event).collect()
    }

    /// The unfinished line of a process that ends, or becomes another program.
    pub(super) fn say_the_rest(&mut self, head: &Head) {
        if let Some(text) = self.said.remove(&pid(head.pid)).and_then(|mut said| said.rest()) {
            self.tell(head, What::Output { fd: STDERR, text, truncated: false, ends_line: false });
        }
    }
}

/// The address of an attempt.
fn peer_of(values: &Values) -> Option<SocketAddr> {
    let bytes = values.bytes(Meaning::Ip)?;
    let v4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    let v6 = || Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical());
    let port = u16::try_from(values.number(Meaning::Port)?).ok()?;
    Some(SocketAddr::new(v4().or_else(v6)?, port))
}
