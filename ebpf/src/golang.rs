//! Functions of Go programs: where they begin, and at each instruction by which one returns.
//!
//! A function whose stack is too small makes it larger and begins again, so its entry may fire twice (runtime.morestack); and it may
//! call itself. What tells calls apart is the goroutine, the function, and how far its stack pointer lies below the end of the
//! goroutine's stack, which a copy of the stack does not change.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::cty::c_void;
use aya_ebpf::helpers::{
    bpf_get_attach_cookie, bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_probe_read_user,
    bpf_task_pt_regs, generated,
};
use aya_ebpf::macros::{map, uprobe};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::ProbeContext;
use gmtrace_abi::golang::{
    Begun, Call, Got, POINTS, Point, Read, STEPS, TEXT, UNREADABLE, VALUES, Value, Which,
};
use gmtrace_abi::{Kind, Number, Output, PAGE, SHORT};

use crate::kernel::{Address, copy_user, copy_user_masked, number};
use crate::ring::{emit, unpaired};
use crate::tree::{self, Who};

/// What is probed; the cookie of a probe is its number here.
#[map]
static POINTS_MAP: Array<Point> = Array::with_max_entries(POINTS, 0);

/// Standard error.
const STDERR: i32 = 2;

/// Calls that have begun. Those of a process that has ended are taken out by who reads of its end.
#[map]
static CALLS: HashMap<Which, Begun> = HashMap::with_max_entries(16384, 0);

/// The registers of the thread, as the breakpoint found them.
#[derive(Clone, Copy)]
struct Registers(Address);

impl Registers {
    #[inline(always)]
    fn now() -> Option<Registers> {
        let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as u64;
        // The verifier follows this pointer, and does not like it to be added to. What has been read it takes for a number.
        Some(Registers(Address((&raw const regs) as u64).read::<Address>()?))
    }

    /// 0 where there is no such register. Without a branch, as all that is done for each value: the verifier follows both ways of
    /// every branch, at every value.
    #[inline(always)]
    fn get(self, index: u32) -> u64 {
        let mut register = 0u64;
        let from = self.0.plus(u64::from(index) * 8).0 as *const c_void;
        // The kernel zeroes what it cannot fill (bpf_probe_read_kernel_common in kernel/trace/bpf_trace.c).
        _ = unsafe { generated::bpf_probe_read_kernel((&raw mut register).cast(), 8, from) };
        register
    }
}

#[uprobe]
pub fn go_enter(ctx: ProbeContext) -> u32 {
    enters(&ctx);
    0
}

#[uprobe]
pub fn go_return(ctx: ProbeContext) -> u32 {
    returns(&ctx);
    0
}

/// A message that a Go program prints: the first value of the point is the descriptor, the second what is written.
#[uprobe]
pub fn go_log(ctx: ProbeContext) -> u32 {
    logs(&ctx);
    0
}

#[inline(always)]
fn logs(ctx: &ProbeContext) -> Option<()> {
    let (seen, point) = seen(ctx)?;
    let descriptor = value(&point.entry[0], &seen, 0, None);
    let bytes = value(&point.entry[1], &seen, 0, None);
    if descriptor.word != STDERR as u64 || bytes.word == 0 {
        return None;
    }
    if bytes.second <= SHORT as u64 {
        write_down::<SHORT>(&seen, bytes);
    } else {
        write_down::<PAGE>(&seen, bytes);
    }
    Some(())
}

#[inline(always)]
fn write_down<const N: usize>(seen: &Seen, bytes: Got) {
    emit(Kind::Output, seen.who, |record: &mut Output<N>| {
        record.fd = STDERR;
        record.length = bytes.second;
        let kept = copy_user(bytes.word, bytes.second, &mut record.text);
        record.kept = kept.unwrap_or(0) as u32;
    });
}

/// A call as a probe finds it.
struct Seen {
    who: Who,
    which: Which,
    goid: u64,
    registers: Registers,
}

#[inline(always)]
fn seen(ctx: &ProbeContext) -> Option<(Seen, &'static Point)> {
    let (who, _) = tree::current_member()?;
    let number_ = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) } as u32;
    let point = POINTS_MAP.get(number_)?;
    let registers = Registers::now()?;
    let goroutine = registers.get(number(Number::RegsGoroutine));
    let stack = registers.get(number(Number::RegsStack));
    let end = user(goroutine + u64::from(point.stack_end))?;
    let goid = user(goroutine + u64::from(point.goid))?;
    let which = Which { goroutine, depth: end - stack, process: who.pid, point: number_ };
    Some((Seen { who, which, goid, registers }, point))
}

#[inline(always)]
fn user(address: u64) -> Option<u64> {
    unsafe { bpf_probe_read_user(address as *const u64) }.ok()
}

/// A word of the process's memory; 0 where it cannot be read, and near 0 nothing can.
#[inline(always)]
fn word(address: u64) -> u64 {
    let mut word = 0u64;
    // The kernel zeroes what it cannot fill (bpf_probe_read_user_common in kernel/trace/bpf_trace.c).
    _ = unsafe {
        generated::bpf_probe_read_user((&raw mut word).cast(), 8, address as *const c_void)
    };
    word
}

#[inline(always)]
fn enters(ctx: &ProbeContext) -> Option<()> {
    let (seen, point) = seen(ctx)?;
    if let Some(before) = unsafe { CALLS.get(seen.which) } {
        if before.goid == seen.goid {
            return None;
        }
    }
    let kept = seen.registers.get(u32::from(point.kept));
    if point.tells_return != 0 {
        let begun = Begun { goid: seen.goid, at: unsafe { bpf_ktime_get_ns() }, kept };
        if CALLS.insert(seen.which, begun, 0).is_err() {
            unpaired(Kind::GoEntry);
        }
    }
    if point.tells_entry != 0 {
        tell(Kind::GoEntry, &seen, &point.entry, kept, 0);
    }
    Some(())
}

#[inline(always)]
fn returns(ctx: &ProbeContext) -> Option<()> {
    let (seen, point) = seen(ctx)?;
    // It had begun before it was probed.
    let begun = *unsafe { CALLS.get(seen.which) }?;
    _ = CALLS.remove(seen.which);
    if begun.goid != seen.goid {
        return None;
    }
    let took = ((unsafe { bpf_ktime_get_ns() } - begun.at) / 1000) as u32;
    if point.tells_return != 0 {
        tell(Kind::GoReturn, &seen, &point.at_return, begun.kept, took);
    }
    Some(())
}

#[inline(always)]
fn tell(kind: Kind, seen: &Seen, values: &[Value; VALUES], kept: u64, took: u32) {
    emit(kind, seen.who, |record: &mut Call| {
        record.point = seen.which.point;
        record.took_us = took;
        record.goid = seen.goid;
        record.depth = seen.which.depth;
        for index in 0..VALUES {
            // Who reads the record knows how many values there are.
            if values[index].read == Read::Nothing as u8 {
                break;
            }
            record.values[index] =
                value(&values[index], seen, kept, Some(&mut record.texts[index]));
        }
    });
}

const NONE: Got = Got { word: 0, second: UNREADABLE };

/// Follows the way to a value, and reads it: two words, or a text, where there is room for it.
#[inline(always)]
fn value(value: &Value, seen: &Seen, kept: u64, text: Option<&mut [u8; TEXT]>) -> Got {
    // All ones where it begins in what was kept; otherwise 0.
    let from_kept = 0u64.wrapping_sub(u64::from(value.kept));
    let start = seen.registers.get(u32::from(value.register[0])) & !from_kept | kept & from_kept;
    if start == 0 && value.direct == 0 {
        // A nil pointer: a call that succeeded has no error to be looked at, and to try is a page fault at every step.
        return NONE;
    }
    let mut place = start + u64::from(value.offset);
    // Every step is as every other, whatever was read: the verifier then looks at each once.
    for step in 0..STEPS {
        if step >= usize::from(value.steps) {
            break;
        }
        place = word(place) + u64::from(value.way[step]);
    }
    let (first, second) = if value.direct != 0 {
        (start, seen.registers.get(u32::from(value.register[1])))
    } else {
        let Some(first) = user(place) else { return NONE };
        (first, word(place + 8))
    };
    match text {
        Some(text) if value.read == Read::Text as u8 => {
            let kept = copy_user_masked(first, second, text);
            Got { word: second, second: kept.unwrap_or(UNREADABLE) }
        }
        _ => Got { word: first, second: second & !UNREADABLE },
    }
}
