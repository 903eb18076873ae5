//! All goroutines of a process, `runtime.allgs`: found by its symbol, or by its form.

use super::layout::{G_M, G_SCHED_PC, G_SCHED_SP, G_SIZE, G_STACK_HI, G_STACK_LO, Layout};
use super::memory::Pages;
use super::module::words;
use super::unwind::Start;
use super::{Place, Unreadable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The most goroutines that are read.
pub(super) const MAX_GOROUTINES: u64 = 10_000;

/// How many at each end of the list are looked at before the others are believed.
const CHECKED: u64 = 16;

/// The main goroutine, and those that the runtime makes before it calls main.
const FEWEST: u64 = 4;

/// The most places that are looked at in search of `allgs`; the go command has some 3,000 slices among its variables.
const MAX_CANDIDATES: usize = 1 << 16;

/// More copies of `allgs` than there are.
const MAX_COPIES: usize = 8;

/// The largest stack that Go allows on 64 bits by itself is 1 GB, runtime/stack.go.
const MAX_STACK: u64 = 1 << 31;

/// What a goroutine does (runtime2.go, `_Gidle` and following).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Just made.
    Idle,
    /// Would run if there were a thread for it.
    Runnable,
    /// Runs Go code: its stack cannot be read.
    Running,
    /// In a system call, or in C code.
    Syscall,
    /// Parked, for the wait reason.
    Waiting,
    /// Its stack is being moved.
    Copystack,
    /// Stopped by the scheduler in the middle of its work.
    Preempted,
    /// Stopped by the runtime's leak detector, from Go 1.26.
    Leaked,
}

/// None for dead goroutines and for what no goroutine has.
fn status(word: u32) -> Option<Status> {
    // _Gscan, 0x1000, is set while the garbage collector looks at the stack.
    match word & !0x1000 {
        0 => Some(Status::Idle),
        1 => Some(Status::Runnable),
        2 => Some(Status::Running),
        3 => Some(Status::Syscall),
        4 => Some(Status::Waiting),
        8 => Some(Status::Copystack),
        9 => Some(Status::Preempted),
        10 => Some(Status::Leaked),
        _ => None,
    }
}

/// Values of `g.atomicstatus` in any release: 5 and 7 are not used, 6 is dead, 11 dead and in C.
fn is_status(word: u32) -> bool {
    matches!(word & !0x1000, 0..=4 | 6 | 8..=11)
}

/// A `runtime.g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct G {
    pub(super) address: u64,
    pub(super) id: u64,
    /// None for a dead one.
    pub(super) status: Option<Status>,
    /// A number whose meaning changes between releases.
    pub(super) wait_reason: u8,
    /// Its `runtime.m`; zero where it has none.
    pub(super) m: u64,
    pub(super) parent: Option<u64>,
    /// Where the `go` statement is that made it.
    pub(super) created_at: Option<u64>,
    /// Its first function.
    pub(super) begins_at: Option<u64>,
    /// The lower end of its stack.
    pub(super) low: u64,
    pub(super) start: Start,
}

impl G {
    /// The goroutine at `address`; none for what has not the form of one.
    fn read(pages: &Pages<'_>, layout: &Layout, address: u64) -> Option<G> {
        let word = |offset: u64| pages.word(address.checked_add(offset)?);
        let low_word = |offset: u64| pages.half(address.checked_add(offset)?);
        let state = low_word(layout.g_atomicstatus).filter(|state| is_status(*state))?;
        let status = status(state);
        let (low, high) = (word(G_STACK_LO)?, word(G_STACK_HI)?);
        let (sp, pc) = (word(G_SCHED_SP)?, word(G_SCHED_PC)?);
        let stacked = low < high && high - low <= MAX_STACK && (low..=high).contains(&sp);
        // gogo clears what was saved of the stack of the goroutine that it runs (runtime/asm_amd64.s).
        let runs = status == Some(Status::Running) && sp == 0;
        let stackless = status.is_none() || status == Some(Status::Idle) || runs;
        let id = word(layout.g_goid)?;
        if !address.is_multiple_of(8) || id >= 1 << 48 || !(stacked || stackless) {
            return None;
        }
        let syscall_sp = word(layout.g_syscallsp)?;
        let in_syscall = syscall_sp != 0;
        if in_syscall && stacked && !(low..=high).contains(&syscall_sp) {
            return None;
        }
        let start = if in_syscall {
            let pc = word(layout.g_syscallpc)?;
            Start { pc, sp: syscall_sp, lr: 0, in_syscall, trapped: false, end: high }
        } else {
            Start { pc, sp, lr: word(layout.g_sched_lr)?, in_syscall, trapped: false, end: high }
        };
        Some(G {
            address,
            id,
            status,
            wait_reason: low_word(layout.g_waitreason)?.to_le_bytes()[0],
            m: word(G_M)?,
            parent: layout.g_parent.and_then(word).filter(|parent| *parent != 0),
            created_at: layout.g_gopc.and_then(word).filter(|pc| *pc != 0),
            begins_at: layout.g_startpc.and_then(word).filter(|pc| *pc != 0),
            low,
            start,
        })
    }
}

/// The goroutines, and how many there are in all, dead ones included.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) gs: Vec<G>,
    pub(super) slots: u64,
    /// How many slots held nothing that looks like a goroutine.
    pub(super) strange: u64,
}

impl All {
    /// How many were not looked at.
    pub(super) fn beyond(&self) -> u64 {
        self.slots.saturating_sub(MAX_GOROUTINES)
    }
}

/// Reads them all. Goroutine 1 is the first that a process makes, and stays in its place.
pub(super) fn all(
    pages: &Pages<'_>,
    place: &Place<'_>,
    layout: &Layout,
) -> Result<All, Unreadable> {
    let known = place.allgs();
    let (first, length) = match known {
        Some(at) => slice(pages, at)
            .filter(|found| is_allgs(pages, layout, *found))
            .ok_or_else(|| Unreadable::new("its goroutines have not the form that is known"))?,
        None => search(pages, place, layout)?,
    };
    let slots = length.min(MAX_GOROUTINES);
    pages.prefetch([(first, slots * 8)]);
    let addresses: Vec<u64> =
        (0..slots).filter_map(|index| pages.word(first.wrapping_add(index * 8))).collect();
    pages.prefetch(addresses.iter().map(|address| (*address, G_SIZE)));
    let mut seen = HashSet::new();
    let mut all = All { slots: length, ..All::default() };
    for address in addresses {
        match G::read(pages, layout, address).filter(|_| seen.insert(address)) {
            Some(g) => all.gs.push(g),
            None => all.strange += 1,
        }
    }
    Ok(all)
}

/// Pointer and length of a slice that could be `allgs`.
fn slice(pages: &Pages<'_>, at: u64) -> Option<(u64, u64)> {
    let word = |offset: u64| pages.word(at.checked_add(offset)?);
    let (pointer, length, capacity) = (word(0)?, word(8)?, word(16)?);
    let sane = pointer != 0 && pointer.is_multiple_of(8) && length > 0 && length <= capacity;
    (sane && capacity < 1 << 32).then_some((pointer, length))
}

/// Whether the first and the last elements are goroutines, of which the very first is number 1.
fn is_allgs(pages: &Pages<'_>, layout: &Layout, (first, length): (u64, u64)) -> bool {
    let mut ids = HashSet::new();
    let head = 0..length.min(CHECKED);
    let tail = length.saturating_sub(CHECKED).max(head.end)..length;
    length >= FEWEST
        && head.chain(tail).all(|index| {
            let address = pages.word(first.wrapping_add(index.wrapping_mul(8)));
            let g = address.and_then(|address| G::read(pages, layout, address));
            let is_first = index == 0;
            g.is_some_and(|g| (g.id == 1) == is_first && (g.status.is_none() || ids.insert(g.id)))
        })
}

/// Looks for the slice in the program's variables. The garbage collector keeps a copy of it as it was, `work.stackRoots`: since
/// goroutines are only ever added, the longest one is the real one, and the others are its beginning.
fn search(pages: &Pages<'_>, place: &Place<'_>, layout: &Layout) -> Result<(u64, u64), Unreadable> {
    let areas = place.variables();
    let places = areas.iter().flat_map(|area| words(pages, *area));
    let places = places.filter(|(_, word)| *word != 0 && word.is_multiple_of(8));
    let slices = places.filter_map(|(at, _)| slice(pages, at)).take(MAX_CANDIDATES);
    let found = slices.filter(|slice| is_allgs(pages, layout, *slice)).take(MAX_COPIES);
    let found: Vec<_> = found.collect();
    let longest = found.iter().max_by_key(|(_, length)| *length);
    let longest = *longest.ok_or_else(|| Unreadable::new("its goroutines were not found"))?;
    match found.iter().all(|other| begins_with(pages, longest, *other)) {
        true => Ok(longest),
        false => Err(Unreadable::new("its goroutines cannot be told from something alike")),
    }
}

/// Whether the elements of `beginning` are the first ones of `whole`.
fn begins_with(pages: &Pages<'_>, whole: (u64, u64), beginning: (u64, u64)) -> bool {
    let element = |slice: (u64, u64), index: u64| pages.word(slice.0.wrapping_add(index * 8));
    whole.0 == beginning.0
        || (0..beginning.1.min(MAX_GOROUTINES))
            .all(|index| element(whole, index) == element(beginning, index))
}
