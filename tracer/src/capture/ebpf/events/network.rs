//! Connections, and what goes over them.

use super::{REMEMBERED, Stream, Translator, c_string, error_name, pid};
use crate::capture::messages;
use crate::capture::ptrace::program;
use gmtrace_abi as abi;
use gmtrace_abi::{Head, Kind};
use gmtrace_core::decode::sockaddr::Address;
use gmtrace_core::event::{ResolverKind, Sample, TcpInfo, TcpSample, TlsReply, Transport, What};
use gmtrace_core::units::{Fd, Inode};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where resolvers listen.
const DNS: u16 = 53;

/// What went over a socket.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    ends: &'a abi::Ends,
    result: i64,
    /// Messages before it in this direction.
    earlier: u32,
    /// As much of it as is kept.
    bytes: &'a [u8],
}

impl Message<'_> {
    pub(super) fn of(transfer: &abi::Transfer) -> Message<'_> {
        let bytes = super::used(&transfer.payload, transfer.kept);
        let abi::Transfer { ends, result, earlier, .. } = transfer;
        Message { ends, result: *result, earlier: *earlier, bytes }
    }
}

impl Translator {
    pub(super) fn look_up(&mut self, head: &Head, lookup: &abi::Lookup, begins: bool) {
        let name = c_string(&lookup.name);
        let service = Some(c_string(&lookup.service)).filter(|service| !service.is_empty());
        if begins {
            self.libc.insert(pid(head.pid));
            self.tell(head, What::GetaddrinfoStart { name: Some(name), service });
        } else {
            let result = eai_name(lookup.result);
            self.tell(head, What::GetaddrinfoEnd { name, service, result });
        }
    }

    pub(super) fn connection(&mut self, head: &Head, connection: &abi::Connection, ended: bool) {
        let ends = &connection.ends;
        let Some((local, peer)) = addresses(ends) else { return };
        let (socket, fd) = (Inode(ends.inode), Fd(ends.fd));
        if !ended {
            self.attempts.insert((pid(head.pid), fd), (head.t, socket));
            *self.stream(socket) = Stream::default();
            let (transport, peer) = (Transport::Tcp, Address::Inet(peer));
            return self.tell(head, What::Connect { fd, socket: Some(socket), transport, peer });
        }
        let result = match connection.error {
            0 => "ok".to_owned(),
            error => format!("{:?}", Errno::from_raw(error)),
        };
        if connection.error == 0 {
            // Its own address, by which the kernel's word of its end is told from that of another one to the same server.
            let state = "ESTABLISHED".to_owned();
            let sample = TcpSample { inode: socket, local, peer, state, tcp: TcpInfo::default() };
            let sample = Sample { connections: vec![sample], processes: Vec::new() };
            self.tell(head, What::Sample(sample));
        }
        self.tell(head, What::ConnectEnd { fd, socket: Some(socket), result });
    }

    pub(super) fn transfer(&mut self, head: &Head, kind: Option<Kind>, message: &Message<'_>) {
        let Message { ends, result, earlier, bytes } = *message;
        let Some((_, peer)) = addresses(ends) else { return };
        let socket = Inode(ends.inode);
        let datagram = i32::from(ends.protocol) == libc::IPPROTO_UDP;
        match (kind, peer.port() == DNS) {
            (Some(Kind::Sent), true) => {
                if datagram {
                    self.datagram_socket(head, ends, peer);
                }
                // Linked into the program, libc's getaddrinfo is not seen.
                let asker = pid(head.pid);
                let is_go = || self.go.contains(&asker) || program::is_go(asker.0);
                let by_libc = self.libc.contains(&asker) || !is_go();
                let via = if by_libc { ResolverKind::Libc } else { ResolverKind::Go };
                let what = messages::dns_question(socket, Some(peer), bytes, !datagram, via);
                self.tell_some(head, what);
            }
            (Some(Kind::Received), true) => self.answered(head, socket, result, bytes, datagram),
            (Some(Kind::Sent), false) => self.sent(head, socket, bytes),
            (Some(Kind::Received), false) => {
                self.received(head, (socket, Fd(ends.fd)), result, earlier, bytes);
            }
            _ => {}
        }
    }

    /// The kernel has no tracepoint for the connect(2) of a datagram socket; its first question shows it.
    pub(super) fn datagram_socket(&mut self, head: &Head, ends: &abi::Ends, peer: SocketAddr) {
        let (socket, fd) = (Inode(ends.inode), Fd(ends.fd));
        if self.datagrams.len() >= REMEMBERED {
            self.datagrams.clear();
        }
        if self.datagrams.insert(socket) {
            let (transport, peer) = (Transport::Udp, Address::Inet(peer));
            self.tell(head, What::Connect { fd, socket: Some(socket), transport, peer });
            let result = "ok".to_owned();
            self.tell(head, What::ConnectEnd { fd, socket: Some(socket), result });
        }
    }

    pub(super) fn answered(
        &mut self,
        head: &Head,
        socket: Inode,
        result: i64,
        bytes: &[u8],
        datagram: bool,
    ) {
        if let Some(error) = error_name(result) {
            return self.tell(head, What::DnsError { socket: Some(socket), error });
        }
        // Over TCP the length comes first; libc reads it alone.
        let message = if datagram { bytes } else { bytes.get(2..).unwrap_or_default() };
        let what = messages::dns_answer(socket, message);
        let what = what.or_else(|| messages::dns_answer(socket, bytes));
        self.tell_some(head, what);
    }

    /// What is known of a connection's first bytes.
    pub(super) fn stream(&mut self, socket: Inode) -> &mut Stream {
        if self.streams.len() >= REMEMBERED && !self.streams.contains_key(&socket) {
            self.streams.clear();
        }
        self.streams.entry(socket).or_default()
    }

    pub(super) fn sent(&mut self, head: &Head, socket: Inode, bytes: &[u8]) {
        let stream = self.stream(socket);
        if stream.tls {
            return;
        }
        let what = messages::first_write(socket, bytes);
        if let Some(What::TlsClientHello { .. }) = &what {
            *stream = Stream { awaits_tls: true, tls: true };
        }
        self.tell_some(head, what);
    }

    pub(super) fn received(
        &mut self,
        head: &Head,
        (socket, fd): (Inode, Fd),
        result: i64,
        earlier: u32,
        bytes: &[u8],
    ) {
        let stream = self.stream(socket);
        if stream.awaits_tls {
            stream.awaits_tls = false;
            let reply = match error_name(result) {
                Some(error) => Some(TlsReply::Closed(error)),
                None if result == 0 => Some(TlsReply::Closed("EOF".to_owned())),
                None => messages::tls_reply(bytes),
            };
            let what = reply.map(|reply| What::TlsReply { socket: Some(socket), reply });
            return self.tell_some(head, what);
        }
        if !stream.tls {
            self.tell_some(head, messages::http_response(socket, bytes));
        }
        // What the end of a connection was, or that something came at all.
        if result <= 0 || earlier == 0 {
            let (bytes, error) = (u64::try_from(result).ok(), error_name(result));
            self.tell(head, What::Read { fd, socket: Some(socket), bytes, error });
        }
    }
}

/// What getaddrinfo(3) returned, as glibc and musl number it (netdb.h).
fn eai_name(result: i32) -> String {
    let name = match result {
        0 => "ok",
        libc::EAI_AGAIN => "EAI_AGAIN",
        libc::EAI_BADFLAGS => "EAI_BADFLAGS",
        libc::EAI_FAIL => "EAI_FAIL",
        libc::EAI_FAMILY => "EAI_FAMILY",
        libc::EAI_MEMORY => "EAI_MEMORY",
        libc::EAI_NODATA => "EAI_NODATA",
        libc::EAI_NONAME => "EAI_NONAME",
        libc::EAI_OVERFLOW => "EAI_OVERFLOW",
        libc::EAI_SERVICE => "EAI_SERVICE",
        libc::EAI_SOCKTYPE => "EAI_SOCKTYPE",
        libc::EAI_SYSTEM => "EAI_SYSTEM",
        other => return format!("EAI {other}"),
    };
    name.to_owned()
}

fn addresses(ends: &abi::Ends) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |bytes: [u8; 16]| match i32::from(ends.family) {
        libc::AF_INET => {
            let [a, b, c, d, ..] = bytes;
            Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        libc::AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()),
        _ => None,
    };
    let local = SocketAddr::new(ip(ends.local)?, ends.local_port);
    Some((local, SocketAddr::new(ip(ends.peer)?, ends.peer_port)))
}
