//! Processes: fork, exec, exit.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use gmtrace_abi::{Exec, Exit, Fork, Kind, Offset};

use crate::kernel::{Address, copy_user, current};
use crate::resolver;
use crate::ring::emit;
use crate::tree::{self, Member, Who};

/// `TP_PROTO(struct task_struct *parent, struct task_struct *child)` (include/trace/events/sched.h). Threads come by here too.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_fork(ctx: RawTracePointContext) -> i32 {
    forked(Address(ctx.arg::<u64>(1)));
    0
}

#[inline(always)]
fn forked(child: Address) -> Option<()> {
    let (who, member) = tree::current_member()?;
    let tgid: u32 = child.get(Offset::TaskTgid)?;
    if tgid != child.get(Offset::TaskPid)? {
        return None;
    }
    let pid = tree::id_at(child, member.level)?;
    let inside = tree::id_inside(child)?;
    tree::adopt(tgid, Member { pid, ..member });
    emit(Kind::Fork, who, |record: &mut Fork| {
        record.child = pid;
        record.child_inside = inside;
    });
    Some(())
}

/// `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(ctx: RawTracePointContext) -> i32 {
    executed(Address(ctx.arg::<u64>(2)));
    0
}

#[inline(always)]
fn executed(program: Address) -> Option<()> {
    let (who, _) = tree::current_member()?;
    let file: u64 = program.get(Offset::BinprmFilename).unwrap_or(0);
    let memory = current().follow(Offset::TaskMm);
    let start: u64 = memory.and_then(|m| m.get(Offset::MmArgStart)).unwrap_or(0);
    let end: u64 = memory.and_then(|m| m.get(Offset::MmArgEnd)).unwrap_or(0);
    // The leader has the process's id from here on, whichever thread called execve(2).
    emit(Kind::Exec, Who { tid: who.pid, ..who }, |record: &mut Exec| {
        record.program[0] = 0;
        _ = unsafe { bpf_probe_read_kernel_str_bytes(file as *const u8, &mut record.program) };
        let all = end.saturating_sub(start);
        record.words_all = all as u32;
        // The words have just been written by the kernel, so they are in memory.
        record.words_len = copy_user(start, all, &mut record.words).unwrap_or(0) as u32;
    });
    Some(())
}

/// include/linux/sched/signal.h.
const SIGNAL_GROUP_EXIT: u32 = 4;

/// `TP_PROTO(struct task_struct *p)`, and since 6.16 `bool group_dead`, which is read from the process here.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit(ctx: RawTracePointContext) -> i32 {
    _ = ctx.as_ptr();
    exited();
    0
}

#[inline(always)]
fn exited() -> Option<()> {
    let (who, _) = tree::current_member()?;
    let task = current();
    resolver::forget_thread();
    let signal = task.follow(Offset::TaskSignal)?;
    // do_exit has counted this thread out before (kernel/exit.c).
    if signal.get::<u32>(Offset::SignalLive)? != 0 {
        return None;
    }
    let leader = task.follow(Offset::TaskLeader)?;
    let group: u32 = signal.get(Offset::SignalFlags)?;
    let status: u32 = if group & SIGNAL_GROUP_EXIT != 0 {
        signal.get(Offset::SignalGroupExitCode)?
    } else {
        leader.get(Offset::TaskExitCode)?
    };
    let tgid: u32 = task.get(Offset::TaskTgid)?;
    tree::forget(tgid, who.pid);
    emit(Kind::Exit, who, |record: &mut Exit| {
        record.status = status;
        record.unused = 0;
    });
    Some(())
}
