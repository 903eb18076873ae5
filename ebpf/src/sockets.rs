//! TCP connections: attempts, and what becomes of them.

use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::RawTracePointContext;
use gmtrace_abi::{Connection, Ends, Kind, Offset};

use crate::kernel::{Address, Syscall};
use crate::ring::{emit, unpaired};
use crate::tree::{self, Who};

/// include/net/tcp_states.h.
const SYN_SENT: i32 = 2;
const CLOSE: i32 = 7;
/// socket(2).
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The tree's TCP connections, by the address of their `struct sock`. Their end takes them out.
#[map]
static CONNECTIONS: HashMap<u64, Known> = HashMap::with_max_entries(16384, 0);

/// What is known of a connection: its state changes in whatever thread the network wakes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Known {
    pub inode: u64,
    pub pid: u32,
    pub tid: u32,
    pub fd: i32,
    /// Messages so far.
    pub sent: u32,
    pub received: u32,
    unused: u32,
}

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)` (include/trace/events/sock.h).
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn socket_state(ctx: RawTracePointContext) -> i32 {
    let (old, new) = (ctx.arg::<i32>(1), ctx.arg::<i32>(2));
    let sock = Address(ctx.arg::<u64>(0));
    if new == SYN_SENT {
        begins(sock);
    } else if old == SYN_SENT {
        decided(sock, new);
    }
    if new == CLOSE {
        // Not there: another's.
        _ = CONNECTIONS.remove(sock.0);
    }
    0
}

/// In connect(2), or in the sendto(2) of a TCP Fast Open. The peer is set by now; the own port is not yet.
#[inline(always)]
fn begins(sock: Address) -> Option<()> {
    let (who, _) = tree::current_member()?;
    let known = remember(sock, who, Syscall::current().map_or(-1, |call| call.fd));
    tell(Kind::Connect, sock, who, &known, 0);
    Some(())
}

#[inline(always)]
fn decided(sock: Address, state: i32) -> Option<()> {
    let known = *unsafe { CONNECTIONS.get(sock.0) }?;
    let error: i32 = if state == CLOSE { sock.get(Offset::SockError)? } else { 0 };
    // Closed by the process itself: nothing was decided.
    if state == CLOSE && error == 0 {
        return None;
    }
    tell(Kind::ConnectEnd, sock, Who { pid: known.pid, tid: known.tid }, &known, error);
    Some(())
}

#[inline(always)]
fn tell(kind: Kind, sock: Address, who: Who, known: &Known, error: i32) {
    emit(kind, who, |record: &mut Connection| {
        fill(&mut record.ends, sock, known.inode, known.fd);
        record.error = error;
        record.unused = 0;
    });
}

#[inline(always)]
fn remember(sock: Address, who: Who, fd: i32) -> Known {
    let inode = inode(sock).unwrap_or(0);
    let known = Known { inode, pid: who.pid, tid: who.tid, fd, sent: 0, received: 0, unused: 0 };
    if CONNECTIONS.insert(sock.0, known, 0).is_err() {
        unpaired(Kind::Connect);
    }
    known
}

/// A connection that bytes go over. One that stood before gmtrace came is taken in; one that has ended, of which the rest is read, or
/// the error that ended it, is not: nobody would take it out.
#[inline(always)]
pub fn known(sock: Address, who: Who, fd: i32) -> Option<*mut Known> {
    if let Some(known) = CONNECTIONS.get_ptr_mut(sock.0) {
        return Some(known);
    }
    if i32::from(sock.get::<u8>(Offset::SockState)?) == CLOSE {
        return None;
    }
    remember(sock, who, fd);
    CONNECTIONS.get_ptr_mut(sock.0)
}

/// The protocol and the peer's port of an internet socket.
#[inline(always)]
pub fn protocol(sock: Address) -> Option<(u16, u16)> {
    let family: u16 = sock.get(Offset::SockFamily)?;
    if family != AF_INET && family != AF_INET6 {
        return None;
    }
    Some((sock.get(Offset::SockProtocol)?, u16::from_be(sock.get(Offset::SockPeerPort)?)))
}

/// Writes down the two ends of an internet socket. What cannot be read is zero.
#[inline(always)]
pub fn fill(ends: &mut Ends, sock: Address, inode: u64, fd: i32) {
    let family: u16 = sock.get(Offset::SockFamily).unwrap_or(0);
    (ends.family, ends.inode, ends.fd, ends.unused) = (family, inode, fd, 0);
    (ends.local, ends.peer) = ([0; 16], [0; 16]);
    if family == AF_INET6 {
        sock.copy(Offset::SockLocal6, &mut ends.local);
        sock.copy(Offset::SockPeer6, &mut ends.peer);
    } else {
        sock.copy(Offset::SockLocal4, &mut ends.local[..4]);
        sock.copy(Offset::SockPeer4, &mut ends.peer[..4]);
    }
    ends.protocol = sock.get(Offset::SockProtocol).unwrap_or(0);
    ends.local_port = sock.get(Offset::SockLocalPort).unwrap_or(0);
    ends.peer_port = u16::from_be(sock.get(Offset::SockPeerPort).unwrap_or(0));
}

/// A `struct socket` and its inode lie in one `struct socket_alloc` (include/net/sock.h).
#[inline(always)]
pub fn inode(sock: Address) -> Option<u64> {
    let socket = sock.follow(Offset::SockSocket)?;
    let alloc = socket.container(Offset::SocketInAlloc);
    alloc.member(Offset::InodeInAlloc).get(Offset::InodeNumber)
}
