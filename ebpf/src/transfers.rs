//! What is sent and received over internet sockets: the beginnings of it, where the questions of a resolver, the ClientHello and
//! the heads of plain HTTP are. Seen when the call is over, so that the bytes are in memory.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::macros::{fexit, raw_tracepoint};
use aya_ebpf::programs::{FExitContext, RawTracePointContext};
use gmtrace_abi::{Kind, Number, Offset, Transfer};

use crate::kernel::{Address, Syscall, copy_user_masked, user_word};
use crate::ring::emit;
use crate::sockets;
use crate::tree::{self, Who};

/// `IPPROTO_TCP`, `IPPROTO_UDP`.
const TCP: u16 = 6;
const UDP: u16 = 17;
/// Where resolvers listen.
const DNS: u16 = 53;
/// errno(3).
const EAGAIN: i64 = -11;
/// Messages of a connection that are always looked at.
const FIRST: u32 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

/// `TP_PROTO(struct sock *sk, int ret, int flags)` (include/trace/events/sock.h, since 6.3).
#[raw_tracepoint(tracepoint = "sock_send_length")]
pub fn socket_send(ctx: RawTracePointContext) -> i32 {
    transfer(Address(ctx.arg::<u64>(0)), i64::from(ctx.arg::<i32>(1)), Way::Out);
    0
}

/// Likewise.
#[raw_tracepoint(tracepoint = "sock_recv_length")]
pub fn socket_receive(ctx: RawTracePointContext) -> i32 {
    transfer(Address(ctx.arg::<u64>(0)), i64::from(ctx.arg::<i32>(1)), Way::In);
    0
}

/// For kernels without these tracepoints: the end of `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`
/// (net/ipv4/af_inet.c), or of inet6_sendmsg.
#[fexit(function = "inet_sendmsg")]
pub fn inet_send(ctx: FExitContext) -> i32 {
    ended(&ctx, 3, Way::Out);
    0
}

/// Likewise of `int inet_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
#[fexit(function = "inet_recvmsg")]
pub fn inet_receive(ctx: FExitContext) -> i32 {
    ended(&ctx, 4, Way::In);
    0
}

/// The context has the arguments, and then the result, eight bytes each (include/linux/bpf.h, BPF_TRAMP_F_CALL_ORIG). Read as memory,
/// the socket is a number to the verifier, as it is at a tracepoint.
#[inline(always)]
fn ended(ctx: &FExitContext, arguments: u64, way: Way) -> Option<()> {
    let word = |index: u64| Address(ctx.as_ptr() as u64).plus(8 * index).read::<u64>();
    let sock = Address(word(0)?).follow(Offset::SocketSock)?;
    transfer(sock, i64::from(word(arguments)? as i32), way)
}

#[inline(always)]
fn transfer(sock: Address, result: i64, way: Way) -> Option<()> {
    // Nothing there yet: who reads comes again.
    if result == EAGAIN {
        return None;
    }
    let (who, _) = tree::current_member()?;
    let (protocol, port) = sockets::protocol(sock)?;
    let call = Syscall::current();
    let fd = call.map_or(-1, |call| call.fd);
    let (start, length) = call.and_then(|call| buffer(call, result)).unwrap_or((0, 0));
    let (inode, earlier) = match (protocol, port == DNS) {
        (TCP, dns) => {
            let (inode, earlier) = match sockets::known(sock, who, fd) {
                Some(known) => {
                    let known = unsafe { &mut *known };
                    let count = if way == Way::Out { &mut known.sent } else { &mut known.received };
                    let earlier = *count;
                    *count += 1;
                    (known.inode, earlier)
                }
                None => (sockets::inode(sock).unwrap_or(0), 0),
            };
            if earlier >= FIRST && result > 0 && !dns && !begins_a_head(start) {
                return None;
            }
            (inode, earlier)
        }
        (UDP, true) => (sockets::inode(sock).unwrap_or(0), 0),
        _ => return None,
    };
    let message = Message { sock, who, way, result, inode, fd, earlier, start, length };
    message.tell();
    Some(())
}

struct Message {
    sock: Address,
    who: Who,
    way: Way,
    result: i64,
    inode: u64,
    fd: i32,
    earlier: u32,
    start: u64,
    length: u64,
}

impl Message {
    #[inline(always)]
    fn tell(&self) {
        let kind = if self.way == Way::Out { Kind::Sent } else { Kind::Received };
        emit(kind, self.who, |record: &mut Transfer| {
            sockets::fill(&mut record.ends, self.sock, self.inode, self.fd);
            record.result = self.result;
            record.earlier = self.earlier;
            let kept = copy_user_masked(self.start, self.length, &mut record.payload);
            record.kept = kept.unwrap_or(0) as u32;
        });
    }
}

/// Where the bytes of a call lie, and how many there are. Of a vector, the first part alone; of sendmmsg(2), which glibc's
/// resolver uses for its two questions, see `second_message`.
#[inline(always)]
fn buffer(call: Syscall, result: i64) -> Option<(u64, u64)> {
    if result <= 0 {
        return None;
    }
    let all = result as u64;
    let second = call.second;
    let one = |which| call.is(which);
    if one(Number::SysRead)
        || one(Number::SysWrite)
        || one(Number::SysRecvfrom)
        || one(Number::SysSendto)
    {
        return Some((second, all));
    }
    let vector = if one(Number::SysReadv) || one(Number::SysWritev) {
        second
    } else if one(Number::SysSendmsg) || one(Number::SysRecvmsg) {
        user_word(second + MSG_IOV)?
    } else if one(Number::SysSendmmsg) {
        user_word(message_being_sent(second)? + MSG_IOV)?
    } else if one(Number::SysRecvmmsg) {
        user_word(second + MSG_IOV)?
    } else {
        return None;
    };
    let (start, length) = (user_word(vector)?, user_word(vector + 8)?);
    Some((start, if length < all { length } else { all }))
}

/// `struct msghdr` (recv(2)) on 64-bit machines: where `msg_iov` lies.
const MSG_IOV: u64 = 16;
/// `struct mmsghdr` (sendmmsg(2)): its size, and where `msg_len` lies.
const MMSGHDR: u64 = 64;
const MMSG_LEN: u64 = 56;

/// The kernel writes `msg_len` of each message when it has been sent (__sys_sendmmsg in net/socket.c), and glibc clears them
/// before: the first without a length is the one that is being sent now.
#[inline(always)]
fn message_being_sent(messages: u64) -> Option<u64> {
    let sent: u32 = unsafe { bpf_probe_read_user((messages + MMSG_LEN) as *const u32) }.ok()?;
    Some(if sent == 0 { messages } else { messages + MMSGHDR })
}

/// Whether this may be the head of an HTTP/1 request or response: it begins with a capital letter, as no record of TLS does.
#[inline(always)]
fn begins_a_head(start: u64) -> bool {
    let first: Option<[u8; 4]> = unsafe { bpf_probe_read_user(start as *const [u8; 4]) }.ok();
    first.is_some_and(|bytes| {
        bytes.iter().all(|b| b.is_ascii_uppercase() || *b == b' ' || *b == b'/')
    })
}
