//! Reading the kernel's structures, and the registers of the system call that a thread is in.

use aya_ebpf::helpers::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_probe_read_kernel,
    bpf_probe_read_kernel_buf, bpf_probe_read_user, bpf_probe_read_user_buf, bpf_task_pt_regs,
    generated,
};
use gmtrace_abi::{MISSING, Number, Offset};

/// Set when the programs are loaded; read-only from then on, so that the verifier takes them for constants.
#[unsafe(no_mangle)]
static OFFSETS: [u32; Offset::COUNT] = [MISSING; Offset::COUNT];
#[unsafe(no_mangle)]
static NUMBERS: [u32; Number::COUNT] = [MISSING; Number::COUNT];

/// A number that was set.
#[inline(always)]
pub fn number(which: Number) -> u32 {
    // Volatile: the compiler must not take the value that is written here for the one that is set.
    unsafe { core::ptr::read_volatile(&raw const NUMBERS[which as usize]) }
}

#[inline(always)]
fn offset(of: Offset) -> u32 {
    unsafe { core::ptr::read_volatile(&raw const OFFSETS[of as usize]) }
}

/// An address in the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Address(pub u64);

impl Address {
    /// Where a member of the structure at this address lies. A member that is missing lies where nothing can be read.
    #[inline(always)]
    pub fn member(self, of: Offset) -> Address {
        Address(self.0.wrapping_add(u64::from(offset(of))))
    }

    /// The structure that has this address as its member.
    #[inline(always)]
    pub fn container(self, of: Offset) -> Address {
        Address(self.0.wrapping_sub(u64::from(offset(of))))
    }

    #[inline(always)]
    pub fn plus(self, bytes: u64) -> Address {
        Address(self.0 + bytes)
    }

    /// Reads a value here.
    #[inline(always)]
    pub fn read<T: Copy>(self) -> Option<T> {
        unsafe { bpf_probe_read_kernel(self.0 as *const T) }.ok()
    }

    /// Reads a member.
    #[inline(always)]
    pub fn get<T: Copy>(self, of: Offset) -> Option<T> {
        if offset(of) == MISSING {
            return None;
        }
        self.member(of).read()
    }

    /// Copies a member. Where it cannot be read, zeros are written.
    #[inline(always)]
    pub fn copy(self, of: Offset, into: &mut [u8]) {
        _ = unsafe { bpf_probe_read_kernel_buf(self.member(of).0 as *const u8, into) };
    }

    /// Follows a member that is a pointer; none where it is null.
    #[inline(always)]
    pub fn follow(self, of: Offset) -> Option<Address> {
        let address: u64 = self.get(of)?;
        if address == 0 { None } else { Some(Address(address)) }
    }

    /// Follows a member that is a pointer; 0, where nothing can be read, if it cannot be read. Without a branch: each doubles
    /// the cases of a loop.
    #[inline(always)]
    pub fn pointer(self, of: Offset) -> Address {
        let mut address = 0u64;
        let from = self.member(of).0 as *const _;
        // On failure the helper writes zeros (bpf_probe_read_kernel_common in kernel/trace/bpf_trace.c).
        unsafe { generated::bpf_probe_read_kernel((&raw mut address).cast(), 8, from) };
        Address(address)
    }
}

/// The thread that runs now.
#[inline(always)]
pub fn current() -> Address {
    Address(unsafe { bpf_get_current_task() })
}

/// The system call that the current thread is in.
#[derive(Clone, Copy)]
pub struct Syscall {
    nr: u32,
    /// Its first argument, which for most of them is a descriptor.
    pub fd: i32,
    /// Its second argument.
    pub second: u64,
}

impl Syscall {
    /// None where the kernel cannot tell, or the call is of an ABI whose numbers are others.
    #[inline(always)]
    pub fn current() -> Option<Syscall> {
        let regs = registers()?;
        let word = |at| regs.plus(u64::from(number(at))).read::<u64>();
        let nr = word(Number::RegsSyscall)? as u32;
        let mode = word(Number::RegsMode)? as u32 & number(Number::RegsModeMask);
        if mode != number(Number::RegsModeNative) || nr & number(Number::ForeignBit) != 0 {
            return None;
        }
        let (fd, second) = (word(Number::RegsArg0)? as i32, word(Number::RegsArg1)?);
        Some(Syscall { nr, fd, second })
    }

    #[inline(always)]
    pub fn is(&self, which: Number) -> bool {
        self.nr == number(which)
    }
}

/// Where the kernel has put the registers of the current thread, when that came into the kernel.
#[inline(always)]
fn registers() -> Option<Address> {
    if number(Number::HasTaskRegs) != 0 {
        return Some(Address(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as u64));
    }
    match number(Number::RegsInStack) {
        0 => None,
        within => Some(current().follow(Offset::TaskStack)?.plus(u64::from(within))),
    }
}

/// Copies memory of the current process: `length` bytes, or as many as there is room for. Gives how many that were; none where it
/// cannot be read.
#[inline(always)]
pub fn copy_user(from: u64, length: u64, into: &mut [u8]) -> Option<usize> {
    let room = into.len();
    let kept = if length > room as u64 { room } else { length as usize };
    // The compiler knows by now that it fits and would leave the next look out; the verifier wants to see it.
    let into = into.get_mut(..core::hint::black_box(kept))?;
    unsafe { bpf_probe_read_user_buf(from as *const u8, into) }.ok()?;
    Some(kept)
}

/// Likewise, but one byte less than there is room for. By a mask, and no branch, of which the verifier follows both ways: for programs
/// that would take it long.
#[inline(always)]
pub fn copy_user_masked<const N: usize>(from: u64, length: u64, into: &mut [u8; N]) -> Option<u64> {
    const { assert!(N.is_power_of_two()) };
    let most = N as u64 - 1;
    let kept = if length > most { most } else { length };
    // The compiler knows by now that it fits, and would leave the mask out.
    let kept = core::hint::black_box(kept) & most;
    let (into, from) = (into.as_mut_ptr().cast(), from as *const _);
    let failed = unsafe { generated::bpf_probe_read_user(into, kept as u32, from) };
    if failed == 0 { Some(kept) } else { None }
}

/// Reads a word of the current process's memory.
#[inline(always)]
pub fn user_word(address: u64) -> Option<u64> {
    unsafe { bpf_probe_read_user(address as *const u64) }.ok()
}
