//! Threads of the runtime, its Ms.

use super::Place;
use super::layout::{Layout, M_SIZE};
use super::memory::Pages;
use std::collections::HashMap;

/// The most Ms that are followed.
const MAX_MACHINES: usize = 4096;

/// A `runtime.m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Its number in the runtime, `m=3`.
    pub id: u64,
    /// Its thread, in the process's own pid namespace.
    pub thread: i32,
    /// The goroutine that it runs, by its id.
    pub goroutine: Option<u64>,
}

/// An M as it is in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct M {
    pub(super) id: u64,
    pub(super) thread: Option<i32>,
    /// The address of the goroutine that it runs.
    pub(super) current: u64,
    /// The address of the goroutine on whose stack it handles signals.
    pub(super) gsignal: u64,
}

/// The Ms by address: those of the chain that begins at `runtime.allm`, and those that `others` name.
pub(super) fn all(
    pages: &Pages<'_>,
    place: &Place<'_>,
    layout: &Layout,
    threads: &[i32],
    others: impl Iterator<Item = u64>,
) -> HashMap<u64, M> {
    let mut found = HashMap::new();
    let mut next = place.allm().and_then(|at| pages.word(at)).unwrap_or(0);
    while next != 0 && found.len() < MAX_MACHINES && !found.contains_key(&next) {
        let Some(m) = read(pages, layout, threads, next) else { break };
        found.insert(next, m);
        next = pages.word(next.wrapping_add(layout.m_alllink)).unwrap_or(0);
    }
    for address in others.filter(|address| *address != 0).take(MAX_MACHINES) {
        if !found.contains_key(&address)
            && let Some(m) = read(pages, layout, threads, address)
        {
            found.insert(address, m);
        }
    }
    found
}

fn read(pages: &Pages<'_>, layout: &Layout, threads: &[i32], address: u64) -> Option<M> {
    let address = Some(address).filter(|address| address.is_multiple_of(8))?;
    pages.bytes(address, M_SIZE as usize)?;
    let word = |offset: u64| pages.word(address.checked_add(offset)?);
    let thread = i32::try_from(word(layout.m_procid)?).ok();
    Some(M {
        id: word(layout.m_id)?,
        // What is no thread of the process is no thread id.
        thread: thread.filter(|thread| threads.contains(thread)),
        current: word(layout.m_curg)?,
        gsignal: word(layout.m_gsignal())?,
    })
}
