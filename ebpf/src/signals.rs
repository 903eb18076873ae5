//! Signals to processes of the tree, and who sends them.

use aya_ebpf::helpers::bpf_get_current_uid_gid;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use gmtrace_abi::{Kind, Offset, Signal, Stop};

use crate::kernel::{Address, current};
use crate::ring::emit;
use crate::tree::{self, Who};

/// Special values of the second argument: a signal without a `siginfo` (include/linux/sched/signal.h, SEND_SIG_NOINFO,
/// SEND_SIG_PRIV).
const NO_INFO: u64 = 0;
const FROM_KERNEL: u64 = 1;
/// sigaction(2).
const SI_USER: i32 = 0;
const SI_KERNEL: i32 = 0x80;
/// What Go's scheduler sends all the time, and what the end of a child brings.
const SIGCHLD: i32 = 17;
const SIGURG: i32 = 23;
/// SIGSTOP, SIGTSTP, SIGTTIN and SIGTTOU follow each other (signal(7), but for alpha, sparc and mips).
const SIGSTOP: i32 = 19;
const SIGTTOU: i32 = 22;
const SIG_DFL: u64 = 0;
/// A pending signal that was sent again, or one that is ignored, does nothing (include/trace/events/signal.h,
/// TRACE_SIGNAL_DELIVERED).
const DELIVERED: i32 = 0;

/// `TP_PROTO(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`.
#[raw_tracepoint(tracepoint = "signal_generate")]
pub fn process_signal(ctx: RawTracePointContext) -> i32 {
    let (signal, result) = (ctx.arg::<i32>(0), ctx.arg::<i32>(4));
    if signal != SIGURG && signal != SIGCHLD && result == DELIVERED {
        sent(signal, Address(ctx.arg::<u64>(1)), Address(ctx.arg::<u64>(2)));
    }
    0
}

/// `TP_PROTO(int sig, struct kernel_siginfo *info, struct k_sigaction *ka)`: in the process that takes it.
#[raw_tracepoint(tracepoint = "signal_deliver")]
pub fn process_stop(ctx: RawTracePointContext) -> i32 {
    let signal = ctx.arg::<i32>(0);
    if (SIGSTOP..=SIGTTOU).contains(&signal) {
        stopped(signal, Address(ctx.arg::<u64>(2)));
    }
    0
}

#[inline(always)]
fn stopped(signal: i32, action: Address) -> Option<()> {
    let (who, _) = tree::current_member()?;
    if action.get::<u64>(Offset::SigactionHandler)? != SIG_DFL {
        return None;
    }
    emit(Kind::Stop, who, |record: &mut Stop| {
        record.signal = signal as u32;
        record.unused = 0;
    });
    Some(())
}

#[inline(always)]
fn sent(signal: i32, info: Address, task: Address) -> Option<()> {
    let member = tree::member_of(task)?;
    let code = match info.0 {
        NO_INFO => SI_USER,
        FROM_KERNEL => SI_KERNEL,
        _ => info.get(Offset::SiginfoCode)?,
    };
    // The sender may live in a namespace that gmtrace does not see: 0 then.
    let sender =
        current().follow(Offset::TaskLeader).and_then(|task| tree::id_at(task, member.level));
    let who = Who { pid: sender.unwrap_or(0), tid: 0 };
    emit(Kind::Signal, who, |record: &mut Signal| {
        record.target = member.pid;
        record.signal = signal as u32;
        record.code = code;
        record.uid = bpf_get_current_uid_gid() as u32;
    });
    Some(())
}
