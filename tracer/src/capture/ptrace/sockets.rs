//! Connections: whom they go to, what became of them, and the answers that can be told by the size of a read.

use super::engine::{Engine, Next};
use super::memory::{self, MMSGHDR};
use super::process::{Calling, Into, Purpose, Socket};
use super::seccomp::{DNS_READ, TLS_READ};
use super::sys;
use super::tracee::{Entry, Stopped};
use super::trap::{error_name, fd};
use super::window::Expect;
use crate::capture::{messages, proc};
use gmtrace_core::decode::sockaddr::{self, Address, UnixName};
use gmtrace_core::event::{Sample, TlsReply, Transport, What};
use gmtrace_core::units::{Fd, Inode};
use libc::c_long;
use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::net::SocketAddr;

/// Bytes of a message that are looked at.
pub(super) const PAYLOAD: usize = 4096;
/// The longest address there is (`struct sockaddr_storage`).
const ADDRESS: usize = 128;
/// Sockets that are remembered of one process.
const REMEMBERED: usize = 4096;
/// Sockets that are asked for their counters when a process ends: some 5 µs each.
const MAX_LAST: usize = 256;
/// Where glibc's getaddrinfo asks nscd first (nscd/nscd-client.h, `_PATH_NSCDSOCKET`).
const NSCD: &str = "/var/run/nscd/socket";

/// The sockets that a process connected, by descriptor. Closing is not seen, so an entry may be of an earlier socket: its inode
/// tells.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    by_fd: HashMap<Fd, Socket>,
}

impl Sockets {
    fn remember(&mut self, fd: Fd, socket: Socket) {
        if self.by_fd.len() >= REMEMBERED {
            self.by_fd.clear();
        }
        self.by_fd.insert(fd, socket);
    }

    /// The TCP connections, without those to resolvers.
    fn tcp(&self) -> impl Iterator<Item = (Fd, Inode)> {
        let tcp =
            self.by_fd.iter().filter(|(_, s)| s.transport == Transport::Tcp && !s.is_resolver());
        tcp.map(|(fd, socket)| (*fd, socket.inode))
    }

    /// Whom a descriptor was connected to.
    pub(super) fn peer(&self, fd: Fd) -> Option<SocketAddr> {
        self.by_fd.get(&fd)?.peer.inet()
    }
}

/// What a descriptor names, as the link in `/proc` says. readlink(2) asks no filesystem.
pub(super) fn target(thread: &Stopped, fd: Fd) -> Option<String> {
    let link = fs::read_link(format!("/proc/{}/fd/{fd}", thread.tid())).ok()?;
    Some(link.to_string_lossy().into_owned())
}

fn inode(thread: &Stopped, fd: Fd) -> Option<Inode> {
    let target = target(thread, fd)?;
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok().map(Inode)
}

/// What carries a socket, by the protocol name that the kernel gives it (sockfs_xattr_get in net/socket.c).
fn transport(thread: &Stopped, fd: Fd) -> Transport {
    let path = CString::new(format!("/proc/{}/fd/{fd}", thread.tid())).ok();
    let name = path.and_then(|path| sys::socket_protocol(&path)).unwrap_or_default();
    match name.trim_end_matches("v6") {
        "TCP" | "MPTCP" => Transport::Tcp,
        "UDP" => Transport::Udp,
        name if name.starts_with("UNIX") => Transport::Unix,
        _ => Transport::Other,
    }
}

impl Engine {
    /// The socket behind a descriptor, if it is one that was seen to connect.
    fn known(&mut self, thread: &Stopped, fd: Fd) -> Option<&mut Socket> {
        let pid = self.pid_of(thread)?;
        let sockets = &mut self.processes.get_mut(&pid)?.sockets.by_fd;
        let inode = sockets.get(&fd).and_then(|socket| Some((socket.inode, inode(thread, fd)?)));
        match inode {
            Some((known, now)) if known == now => sockets.get_mut(&fd),
            Some(_) => {
                sockets.remove(&fd);
                None
            }
            None => None,
        }
    }

    /// A process that ends with connections open: what came over them is asked now, while they are still its own. do_exit of the
    /// kernel stops here before it closes files, and the kernel tells of a socket's end only when the peer has closed it too.
    pub(super) fn last_counters(&mut self, thread: &Stopped) {
        let Some(pid) = self.pid_of(thread).filter(|pid| pid.0 == thread.tid()) else { return };
        let Some(process) = self.processes.get(&pid).filter(|_| self.is_told(pid)) else { return };
        let open: Vec<(Fd, Inode)> = process.sockets.tcp().take(MAX_LAST).collect();
        self.counters(thread, open);
    }

    /// Tells the counters of these sockets.
    fn counters(&mut self, thread: &Stopped, sockets: Vec<(Fd, Inode)>) {
        let Some(pid) = self.pid_of(thread) else { return };
        let connections = proc::tcp_counters(pid, sockets);
        if !connections.is_empty() {
            let sample = Sample { connections, processes: Vec::new() };
            self.tell(pid, thread.id(), What::Sample(sample));
        }
    }

    /// connect(2) is called.
    pub(super) fn connect(&mut self, thread: &Stopped, entry: Entry) {
        let [target, address, length, ..] = entry.args;
        let Some(pid) = self.pid_of(thread) else { return };
        let length = usize::try_from(length as u32).unwrap_or(0).min(ADDRESS);
        let Some(peer) = sockaddr::decode(&memory::read(thread.tid(), address, length)) else {
            let why = "the address could not be read".into();
            return self.tell(
                pid,
                thread.id(),
                What::Lost { what: "connect".into(), count: 1, why },
            );
        };
        match &peer {
            // AF_UNSPEC takes a connection back (connect(2)); getaddrinfo does so between the addresses it sorts.
            Address::Other { family: 0 } => return,
            Address::Unix(UnixName::Path(path)) if path == NSCD => return self.getaddrinfo(thread),
            _ => {}
        }
        let target = fd(target);
        // Only of a socket: asking a file of a dead mount would hang.
        let socket = inode(thread, target);
        let transport = socket.map_or(Transport::Other, |_| transport(thread, target));
        let connect = What::Connect { fd: target, socket, transport, peer: peer.clone() };
        self.tell(pid, thread.id(), connect);
        let (Some(inode), Some(process)) = (socket, self.processes.get_mut(&pid)) else { return };
        let known = Socket { inode, transport, peer, connecting: true, awaits_tls: false };
        process.sockets.remember(target, known);
        self.await_end(thread, entry, Calling::Connect { fd: target }, true);
    }

    /// The first of the two steps by which libc's getaddrinfo shows itself; the second follows at once.
    fn getaddrinfo(&mut self, thread: &Stopped) {
        let Some(pid) = self.pid_of(thread) else { return };
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.getaddrinfo = true;
        let Some(state) = self.threads.get_mut(&thread.id()) else { return };
        if !std::mem::replace(&mut state.asked_nscd, true) {
            self.tell(pid, thread.id(), What::GetaddrinfoStart { name: None, service: None });
        } else {
            state.asked_nscd = false;
        }
    }

    /// connect(2) has returned.
    pub(super) fn connected(&mut self, thread: &Stopped, fd: Fd, result: i64) -> Next {
        let in_progress = result == -i64::from(libc::EINPROGRESS);
        let Some(socket) = self.known(thread, fd) else { return Next::Run };
        socket.connecting = in_progress;
        let inode = socket.inode;
        self.connect_ended(thread, fd, inode, error_name(result));
        if result == 0 { self.now_connected(thread, fd) } else { Next::Run }
    }

    fn connect_ended(&mut self, thread: &Stopped, fd: Fd, socket: Inode, error: Option<String>) {
        let Some(pid) = self.pid_of(thread) else { return };
        let result = error.unwrap_or_else(|| "ok".into());
        self.tell(pid, thread.id(), What::ConnectEnd { fd, socket: Some(socket), result });
    }

    /// A connection stands: what is written first is worth seeing. Its counters give its own address, by which the kernel's word
    /// of its end is told from that of another one to the same server: go dials once for each request that waits, and lets go of
    /// those that it does not need.
    fn now_connected(&mut self, thread: &Stopped, fd: Fd) -> Next {
        let Some(socket) = self.known(thread, fd) else { return Next::Run };
        if socket.transport == Transport::Tcp && !socket.is_resolver() {
            let inode = socket.inode;
            self.counters(thread, vec![(fd, inode)]);
        }
        let Some(socket) = self.known(thread, fd) else { return Next::Run };
        let expect = match (socket.transport, socket.is_resolver()) {
            (Transport::Udp, true) => Expect::Question { stream: false },
            (Transport::Tcp, true) => Expect::Question { stream: true },
            (Transport::Tcp, false) => Expect::FirstWrite,
            // A UDP socket connected elsewhere sends nothing: getaddrinfo sorts addresses (RFC 6724).
            _ => return Next::Run,
        };
        socket.awaits_tls = expect == Expect::FirstWrite;
        let inode = socket.inode;
        self.open_window(thread, fd, inode, expect)
    }

    /// getsockopt(2) asks for SO_ERROR: how a connect(2) that returned EINPROGRESS ended.
    pub(super) fn socket_error(&mut self, thread: &Stopped, entry: Entry) {
        let [target, _, _, value, ..] = entry.args;
        let fd = fd(target);
        if self.known(thread, fd).is_some_and(|socket| socket.connecting) {
            self.await_end(thread, entry, Calling::SocketError { fd, value }, true);
        }
    }

    /// getsockopt(2) has told.
    pub(super) fn socket_error_told(
        &mut self,
        thread: &Stopped,
        fd: Fd,
        value: u64,
        result: i64,
    ) -> Next {
        let error = memory::number(thread.tid(), value).filter(|_| result == 0);
        let (Some(error), Some(socket)) = (error, self.known(thread, fd)) else { return Next::Run };
        socket.connecting = false;
        let inode = socket.inode;
        self.connect_ended(thread, fd, inode, error_name(-i64::from(error)));
        if error == 0 { self.now_connected(thread, fd) } else { Next::Run }
    }

    /// read(2) with one of the two sizes, or any with `--exact-reads`.
    pub(super) fn read(&mut self, thread: &Stopped, entry: Entry) {
        let [target, buffer, size, ..] = entry.args;
        let exact = self.exact_reads;
        let fd = fd(target);
        let Some(socket) = self.known(thread, fd) else { return };
        let purpose = match size {
            DNS_READ if socket.is_resolver() => Purpose::Dns,
            TLS_READ if socket.awaits_tls => Purpose::Tls,
            _ if exact => Purpose::Count,
            _ => return,
        };
        let what =
            Calling::Receive { fd, socket: socket.inode, into: Into::Buffer(buffer), purpose };
        self.await_end(thread, entry, what, true);
    }

    /// recvfrom(2), recvmsg(2) or recvmmsg(2): libc's resolver.
    pub(super) fn receive(&mut self, thread: &Stopped, entry: Entry) {
        let [target, place, ..] = entry.args;
        let fd = fd(target);
        let into = match entry.nr as c_long {
            libc::SYS_recvmsg => Into::Message(place),
            libc::SYS_recvmmsg => Into::Messages(place),
            _ => Into::Buffer(place),
        };
        let Some(socket) = self.known(thread, fd).filter(|socket| socket.is_resolver()) else {
            return;
        };
        let what = Calling::Receive { fd, socket: socket.inode, into, purpose: Purpose::Dns };
        self.await_end(thread, entry, what, true);
    }

    /// A receive has returned.
    pub(super) fn received(
        &mut self,
        thread: &Stopped,
        (fd, socket): (Fd, Inode),
        into: Into,
        purpose: Purpose,
        result: i64,
    ) -> Next {
        if self.exact_reads && matches!(into, Into::Buffer(_)) {
            self.counted(thread, fd, socket, result);
        }
        // Nothing there yet: the reader comes again (Go parks the goroutine, libc polls).
        if result == -i64::from(libc::EAGAIN) {
            return Next::Run;
        }
        match purpose {
            Purpose::Dns => self.answered(thread, socket, into, result),
            Purpose::Tls => self.tls_replied(thread, fd, socket, into, result),
            Purpose::Http => self.http_replied(thread, fd, socket, into, result),
            Purpose::Count => {}
        }
        Next::Run
    }

    fn counted(&mut self, thread: &Stopped, fd: Fd, socket: Inode, result: i64) {
        let Some(pid) = self.pid_of(thread) else { return };
        let bytes = u64::try_from(result).ok();
        let read = What::Read { fd, socket: Some(socket), bytes, error: error_name(result) };
        self.tell(pid, thread.id(), read);
    }

    fn answered(&mut self, thread: &Stopped, socket: Inode, into: Into, result: i64) {
        let Some(pid) = self.pid_of(thread) else { return };
        let (inode, socket) = (socket, Some(socket));
        if let Some(error) = error_name(result) {
            return self.tell(pid, thread.id(), What::DnsError { socket, error });
        }
        for message in received(thread, into, result) {
            if let Some(told) = messages::dns_answer(inode, &message) {
                self.tell(pid, thread.id(), told);
            }
        }
    }

    fn tls_replied(&mut self, thread: &Stopped, fd: Fd, socket: Inode, into: Into, result: i64) {
        let reply = match error_name(result) {
            Some(error) => Some(TlsReply::Closed(error)),
            None if result == 0 => Some(TlsReply::Closed("EOF".into())),
            None => {
                let bytes = received(thread, into, result);
                bytes.first().and_then(|bytes| messages::tls_reply(bytes))
            }
        };
        let (Some(reply), Some(pid)) = (reply, self.pid_of(thread)) else { return };
        if let Some(socket) = self.known(thread, fd) {
            socket.awaits_tls = false;
        }
        self.tell(pid, thread.id(), What::TlsReply { socket: Some(socket), reply });
    }

    fn http_replied(&mut self, thread: &Stopped, fd: Fd, socket: Inode, into: Into, result: i64) {
        let bytes = received(thread, into, result).into_iter().next().unwrap_or_default();
        let response = messages::http_response(socket, &bytes);
        let accepted =
            matches!(response, Some(What::HttpResponse { status, .. }) if status / 100 == 2);
        self.reply_seen(thread, fd, accepted);
        if let (Some(pid), Some(response)) = (self.pid_of(thread), response) {
            self.tell(pid, thread.id(), response);
        }
    }
}

/// What was received, at most [`PAYLOAD`] bytes of each message.
fn received(thread: &Stopped, into: Into, result: i64) -> Vec<Vec<u8>> {
    let tid = thread.tid();
    let count = usize::try_from(result).unwrap_or(0);
    match into {
        Into::Buffer(at) => vec![memory::read(tid, at, count.min(PAYLOAD))],
        Into::Message(header) => vec![memory::message(tid, header, count.min(PAYLOAD))],
        Into::Messages(headers) => (0..count.min(8) as u64)
            .map(|index| memory::message(tid, headers.wrapping_add(index * MMSGHDR), PAYLOAD))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_this_test_are_told() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let fd = Fd(std::os::fd::AsRawFd::as_raw_fd(&socket));
        let me = Stopped::seen(std::process::id() as i32);
        assert_eq!(transport(&me, fd), Transport::Udp);
        assert!(inode(&me, fd).is_some());
        assert_eq!(inode(&me, Fd(9999)), None);
    }
}
