//! Calls of Go functions, and what go says on standard error.

use super::super::calls::{Open, Values};
use super::super::failures;
use super::super::probes::GoPoints;
use super::super::requests;
use super::{Translator, pid, target};
use crate::capture::said::{STDERR, Said, Whole};
use gmtrace_abi as abi;
use gmtrace_abi::{Head, Kind};
use gmtrace_core::decode::sockaddr::Address;
use gmtrace_core::event::{GoCalled, GoStep, Transport, What};
use gmtrace_core::golang::probes::{Function, What as Meaning};
use gmtrace_core::redact;
use gmtrace_core::units::{Fd, Inode, Pid};
use nix::errno::Errno;
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
            if let (Some(step), Some(module)) = (step(point.function), module(&values)) {
                self.tell(head, What::GoStepStart { goid, step, module });
            }
            if let Some((call, about)) = called(point.function, &values) {
                self.tell(head, What::GoCallStart { goid, call, about });
            }
            if point.ends {
                self.calls.begins(goroutine, which, head.t, point, values);
            }
            return;
        }
        let values = Values::read(&point.at_return, values, texts);
        let Some(call) = self.calls.ends(goroutine, which) else { return };
        match call.function {
            Function::Connect => self.go_connected(head, goroutine, &call, &values),
            Function::RoundTrip => {
                let names = point.names.as_ref().filter(|_| requests::has_failed(&values));
                let types = names.and_then(|names| names.open());
                let error = types.and_then(|types| failures::told(&values, &types));
                self.tell(head, requests::response(goid, &values, error));
            }
            function => {
                if let Some((call, about)) = called(function, &call.values) {
                    let failed = values.number(Meaning::Error).is_some_and(|error| error != 0);
                    self.tell(head, What::GoCallEnd { goid, call, about, failed });
                    return;
                }
                let failed = values.number(Meaning::Error) != Some(0);
                if let (Some(step), Some(module)) = (step(function), module(&call.values)) {
                    self.tell(head, What::GoStepEnd { goid, step, module, failed });
                }
            }
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

    /// A message was printed: whole lines (log.Output).
    pub(super) fn logged(&mut self, head: &Head, length: u64, message: &[u8]) {
        let cut = length > message.len() as u64;
        let Whole { text, truncated } = Said::default().add(message, cut, self.clock.at(head.t));
        self.tell(head, What::Output { fd: STDERR, text, truncated, ends_line: !cut });
    }
}

/// What a function does for a module.
fn step(function: Function) -> Option<GoStep> {
    match function {
        Function::LockVersion => Some(GoStep::Lock),
        Function::Zip => Some(GoStep::Fetch),
        Function::LookUpSum => Some(GoStep::Verify),
        _ => None,
    }
}

/// What a function does that goes on for a while, and for whom.
fn called(function: Function, values: &Values) -> Option<(GoCalled, String)> {
    let (call, words): (_, &[Meaning]) = match function {
        Function::LookUp => (GoCalled::LookUp, &[Meaning::Host]),
        Function::Handshake => (GoCalled::Handshake, &[Meaning::ServerName]),
        Function::Run => (GoCalled::Run, &[Meaning::Program, Meaning::FirstArgument]),
        Function::Start => (GoCalled::Start, &[Meaning::Program]),
        Function::SelectToolchain => (GoCalled::SelectToolchain, &[]),
        Function::ExecToolchain => (GoCalled::ExecToolchain, &[Meaning::Toolchain]),
        _ => return None,
    };
    let words: Vec<_> = words.iter().filter_map(|word| values.text(*word)).collect();
    Some((call, redact::text(&words.join(" ")).into_owned()))
}

/// `path@version`. The go.mod file of a version has a line of its own in the checksum database, and is called `version/go.mod` there
/// (checkGoMod in src/cmd/go/internal/modfetch/fetch.go).
fn module(values: &Values) -> Option<String> {
    let version = values.text(Meaning::Version)?;
    let version = version.strip_suffix("/go.mod").unwrap_or(&version);
    Some(format!("{}@{version}", values.text(Meaning::Module)?))
}

/// The address of an attempt.
fn peer_of(values: &Values) -> Option<SocketAddr> {
    let bytes = values.bytes(Meaning::Ip)?;
    let v4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    let v6 = || Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical());
    let port = u16::try_from(values.number(Meaning::Port)?).ok()?;
    Some(SocketAddr::new(v4().or_else(v6)?, port))
}
