//! The two ring buffers, and the count of what did not fit.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use core::arch::asm;
use gmtrace_abi::{Counts, Head, Kind, Number};

use crate::kernel::number;
use crate::tree::Who;

#[map]
static RARE: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
static MANY: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

#[map]
static COUNTS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(Kind::COUNT as u32, 0);

/// Adds one to a count of this CPU. Atomically, because a program may be interrupted by another one, or, at a uprobe, by another
/// thread.
#[inline(always)]
fn count(kind: Kind, which: impl FnOnce(*mut Counts) -> *mut u64) {
    if let Some(counts) = COUNTS.get_ptr_mut(kind as u32) {
        // BPF_ATOMIC | BPF_ADD without a result, which every kernel with ring buffers has; Rust knows no such operation here,
        // because the target has no compare-and-exchange before Linux 5.12.
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) which(counts), in(reg) 1u64) };
    }
}

/// What was made is known even where it is lost.
#[inline(always)]
pub fn emit<T: 'static>(kind: Kind, who: Who, fill: impl FnOnce(&mut T)) {
    count(kind, |counts| unsafe { &raw mut (*counts).made });
    let ring = if kind.is_rare() { &RARE } else { &MANY };
    let Some(mut entry) = ring.reserve::<T>(0) else {
        count(kind, |counts| unsafe { &raw mut (*counts).dropped });
        return;
    };
    // Nothing is left out of a record but the end of its text, which its length says.
    let record = unsafe { &mut *entry.as_mut_ptr() };
    fill(record);
    head(kind, who, record);
    entry.submit(wake(ring));
}

/// Likewise, of a record that is written already, its first `length` bytes.
#[inline(always)]
pub fn emit_as_it_is<T>(kind: Kind, who: Who, record: &mut T, length: usize) {
    count(kind, |counts| unsafe { &raw mut (*counts).made });
    let ring = if kind.is_rare() { &RARE } else { &MANY };
    head(kind, who, record);
    let bytes = unsafe { core::slice::from_raw_parts((&raw const *record).cast::<u8>(), length) };
    if ring.output::<[u8]>(bytes, wake(ring)).is_err() {
        count(kind, |counts| unsafe { &raw mut (*counts).dropped });
    }
}

/// Every record begins with its head (gmtrace-abi).
#[inline(always)]
fn head<T>(kind: Kind, who: Who, record: &mut T) {
    let head = Head {
        t: unsafe { bpf_ktime_get_ns() },
        kind: kind as u32,
        pid: who.pid,
        tid: who.tid,
        unused: 0,
    };
    unsafe { core::ptr::write((record as *mut T).cast::<Head>(), head) };
}

/// There was something to tell, and no place to write it down.
#[inline(always)]
pub fn lost(kind: Kind) {
    count(kind, |counts| unsafe { &raw mut (*counts).made });
    count(kind, |counts| unsafe { &raw mut (*counts).dropped });
}

/// A map had no room for what a record belongs to.
#[inline(always)]
pub fn unpaired(kind: Kind) {
    count(kind, |counts| unsafe { &raw mut (*counts).unpaired });
}

/// The reader comes by itself every few milliseconds; it is woken only where the ring fills up before. A wake-up for each record
/// costs six times the record.
#[inline(always)]
fn wake(ring: &RingBuf) -> u64 {
    let waiting = ring.query(u64::from(BPF_RB_AVAIL_DATA));
    if waiting >= u64::from(number(Number::WakeAt)) {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}
