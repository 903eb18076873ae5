//! INET_DIAG and UNIX_DIAG: the kernel's tables of TCP, UDP and unix sockets over netlink (sock_diag(7)).

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    Parseable,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SOCK_DIAG_BY_FAMILY,
};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, InetResponseHeader, SocketId, StateFlags,
};
use netlink_packet_sock_diag::unix::{self, ShowFlags, UnixRequest, UnixResponse};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use std::io;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// The kernel never makes a dump message larger than this (NLMSG_GOODSIZE and max_recvmsg_len are at most 32 KiB).
const BUFFER: usize = 64 * 1024;

/// At most this many datagrams of one dump are read: some 2 million sockets.
const MAX_DATAGRAMS: usize = 32_768;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// A netlink socket for questions about the sockets of the network namespace that it was opened in.
pub(super) struct Diag {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Diag {
    /// # Errors
    /// Those of socket(2): sandboxes may refuse netlink.
    pub(super) fn open() -> io::Result<Diag> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        set_receive_timeout(&socket)?;
        Ok(Diag { socket, buffer: Vec::with_capacity(BUFFER), sequence: 0 })
    }

    /// Shows `keep` every socket that has an owner; `found` gets those it wants. Sockets in TIME_WAIT are left out: they belong to nobody.
    ///
    /// # Errors
    /// Those of netlink, and of the kernel when it has no table for this protocol.
    pub(super) fn dump(
        &mut self,
        protocol: Protocol,
        keep: impl Fn(&InetResponseHeader) -> bool,
        mut found: impl FnMut(InetResponse),
    ) -> io::Result<()> {
        let extensions = match protocol {
            Protocol::Tcp => ExtensionFlags::INFO,
            Protocol::Udp => ExtensionFlags::empty(),
        };
        for family in [AF_INET, AF_INET6] {
            self.ask(inet(family, protocol, extensions.clone()))?;
            self.collect(|payload| found_in(payload, &keep, &mut found))?;
        }
        Ok(())
    }

    /// Shows `found` the addresses of every TCP socket, and nothing more of it.
    ///
    /// # Errors
    /// As [`Diag::dump`].
    pub(super) fn walk_tcp(
        &mut self,
        mut found: impl FnMut(&InetResponseHeader),
    ) -> io::Result<()> {
        for family in [AF_INET, AF_INET6] {
            self.ask(inet(family, Protocol::Tcp, ExtensionFlags::empty()))?;
            self.collect(|payload| {
                if let Ok(header) = InetResponseHeader::parse(payload) {
                    found(&header);
                }
            })?;
        }
        Ok(())
    }

    /// Shows `found` every unix socket that is connected or listens, with its name and who is at its other end.
    ///
    /// # Errors
    /// Those of netlink, and of a kernel without UNIX_DIAG.
    pub(super) fn walk_unix(&mut self, mut found: impl FnMut(UnixResponse)) -> io::Result<()> {
        self.ask(SockDiagMessage::UnixRequest(UnixRequest {
            state_flags: unix::StateFlags::all(),
            inode: 0,
            show_flags: ShowFlags::NAME | ShowFlags::PEER | ShowFlags::ICONS,
            cookie: [0xff; 8],
        }))?;
        self.collect(|payload| {
            if let Ok(response) = UnixResponse::parse(payload) {
                found(response);
            }
        })
    }

    fn ask(&mut self, request: SockDiagMessage) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        header.sequence_number = self.sequence;
        let payload = NetlinkPayload::from(request);
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    fn collect(&mut self, mut found: impl FnMut(&[u8])) -> io::Result<()> {
        for _ in 0..MAX_DATAGRAMS {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0)?;
            for message in messages(&self.buffer) {
                // An answer to an earlier question that was given up.
                if message.sequence_number() != self.sequence {
                    continue;
                }
                match message.message_type() {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(error(message.payload())),
                    SOCK_DIAG_BY_FAMILY => found(message.payload()),
                    _ => {}
                }
            }
        }
        Err(io::Error::from(io::ErrorKind::FileTooLarge))
    }
}

fn inet(family: u8, protocol: Protocol, extensions: ExtensionFlags) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: match protocol {
            Protocol::Tcp => IPPROTO_TCP,
            Protocol::Udp => IPPROTO_UDP,
        },
        extensions,
        states: StateFlags::all() - StateFlags::TIME_WAIT,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    })
}

/// A header is read before the rest, so that a machine with many sockets costs little.
fn found_in(
    payload: &[u8],
    keep: &impl Fn(&InetResponseHeader) -> bool,
    found: &mut impl FnMut(InetResponse),
) {
    if !InetResponseHeader::parse(payload).is_ok_and(|header| keep(&header)) {
        return;
    }
    if let Ok(response) = InetResponse::parse(payload) {
        found(response);
    }
}

/// The messages of a datagram. Each begins at a multiple of 4 (netlink(7), NLMSG_ALIGN).
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = usize::try_from(message.length()).ok()?.next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
        Some(message)
    })
}

/// `struct nlmsgerr` begins with a negative error number.
fn error(payload: &[u8]) -> io::Error {
    match payload.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(code) if code < 0 => io::Error::from_raw_os_error(code.saturating_neg()),
        _ => io::Error::from(io::ErrorKind::InvalidData),
    }
}

/// The kernel answers at once or not at all; a lost answer must not hang the reader.
fn set_receive_timeout(socket: &Socket) -> io::Result<()> {
    setsockopt(socket, ReceiveTimeout, &TimeVal::new(1, 0)).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_datagrams_end() {
        for datagram in [&[][..], &[0; 16], &[255; 64], &[3, 0, 0, 0, 1], &[16, 0, 0, 0]] {
            assert_eq!(messages(datagram).count(), 0, "{datagram:?}");
        }
        let mut two = vec![0; 37];
        two[0] = 17;
        two[20] = 16;
        assert_eq!(messages(&two).count(), 2);
        for length in 0..200 {
            found_in(&vec![2; length], &|_| true, &mut |_| {});
            found_in(&vec![10; length], &|_| true, &mut |_| {});
        }
        assert_eq!(error(&[]).kind(), io::ErrorKind::InvalidData);
        assert_eq!(error(&(-13_i32).to_ne_bytes()).kind(), io::ErrorKind::PermissionDenied);
    }
}
