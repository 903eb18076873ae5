//! What differs between x86_64 and aarch64.

use super::sys;
use super::tracee::Stopped;
use nix::errno::Errno;

/// A register set of PTRACE_GETREGSET (elf.h, `NT_*`).
pub(super) type RegisterSet = libc::c_int;

/// AUDIT_ARCH_* of programs built for this machine (include/uapi/linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: u32 = 0xC000_003E;
/// AUDIT_ARCH_* of programs built for this machine.
#[cfg(target_arch = "aarch64")]
pub const NATIVE: u32 = 0xC000_00B7;

/// The bit that marks the calls of the x32 ABI, which share AUDIT_ARCH_X86_64 (arch/x86/include/uapi/asm/unistd.h).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// Whether x32 exists here.
pub(super) const HAS_X32: bool = cfg!(target_arch = "x86_64");

/// The ABI of a system call whose numbers are not this machine's.
pub(super) fn abi_name(audit_arch: u32) -> &'static str {
    match audit_arch {
        NATIVE if HAS_X32 => "x32",
        0x4000_0003 => "i386",
        0x4000_0028 => "arm",
        _ => "unknown",
    }
}

/// The results that mean "interrupted, will be started again" while a signal or a stop is dealt with
/// (include/linux/errno.h: ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK). No program sees them.
pub(super) fn is_restart(result: i64) -> bool {
    matches!(result, -512 | -513 | -514 | -516)
}

/// Whether a stopped thread sits in this system call, interrupted by what stopped it.
pub(super) fn is_interrupted_in(thread: &Stopped, nr: libc::c_long) -> bool {
    position(thread.tid()).is_some_and(|(current, result)| current == nr && is_restart(result))
}

/// Whether a thread that is about to end is still in the call `nr`: it was killed there.
pub(super) fn is_killed_in(thread: &Stopped, nr: libc::c_long) -> bool {
    position(thread.tid()).is_some_and(|(current, _)| current == nr)
}

/// The call a thread is in, and its result so far.
#[cfg(target_arch = "x86_64")]
fn position(tid: i32) -> Option<(i64, i64)> {
    // struct user_regs_struct (sys/user.h): rax is the eleventh word, orig_rax the sixteenth.
    let mut words = [0u64; 27];
    sys::registers(tid, libc::NT_PRSTATUS, &mut words).ok()?;
    Some((*words.get(15)? as i64, *words.get(10)? as i64))
}

/// The call a thread is in, and its result so far.
#[cfg(target_arch = "aarch64")]
fn position(tid: i32) -> Option<(i64, i64)> {
    // elf.h: NT_ARM_SYSTEM_CALL is an int, -1 outside of a system call; x0 is the first general register.
    const NT_ARM_SYSTEM_CALL: RegisterSet = 0x404;
    let mut words = [0u64; 34];
    sys::registers(tid, libc::NT_PRSTATUS, &mut words).ok()?;
    let result = *words.first()? as i64;
    let mut call = [0u64; 1];
    sys::registers(tid, NT_ARM_SYSTEM_CALL, &mut call).ok()?;
    Some((i64::from(*call.first()? as i32), result))
}

/// How many words the general registers have, and which of them is the first argument: rdi in struct user_regs_struct (sys/user.h).
#[cfg(target_arch = "x86_64")]
const GENERAL: (usize, usize) = (27, 14);
/// How many words the general registers have, and which of them is the first argument: x0 in struct user_pt_regs (asm/ptrace.h).
#[cfg(target_arch = "aarch64")]
const GENERAL: (usize, usize) = (34, 0);

/// The first argument of the system call that a stopped thread is in.
pub(super) fn first_argument(thread: &Stopped) -> Option<u64> {
    let mut words = [0u64; GENERAL.0];
    sys::registers(thread.tid(), libc::NT_PRSTATUS, &mut words).ok()?;
    words.get(GENERAL.1).copied()
}

/// Changes the first argument of the system call that a thread is about to make.
pub(super) fn set_first_argument(thread: &Stopped, value: u64) -> Result<(), Errno> {
    let mut words = [0u64; GENERAL.0];
    sys::registers(thread.tid(), libc::NT_PRSTATUS, &mut words)?;
    if let Some(word) = words.get_mut(GENERAL.1) {
        *word = value;
    }
    sys::set_registers(thread.tid(), libc::NT_PRSTATUS, &words)
}

/// Gives a thread the first argument back that its call had. On aarch64 its register holds the call's result by then.
pub(super) fn restore_first_argument(thread: &Stopped, value: u64) {
    if cfg!(target_arch = "x86_64") {
        // Gone: it was killed meanwhile.
        _ = set_first_argument(thread, value);
    }
}
