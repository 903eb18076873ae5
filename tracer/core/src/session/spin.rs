//! Go programs that use a CPU and come to nothing: whose running goroutines are found in the same state again and again.

use super::Session;
use crate::event::{Event, GoRunning, Goroutine, Status, What, running};
use crate::units::{Nanos, Pid};
use std::collections::{BTreeMap, HashMap};

/// Each goroutine that runs was found so often in a state in which it had been before. What computes is hardly ever found in one twice.
pub const RECURRENCES: u32 = 4;

/// After so many more than that one which is found in another state has to be found so again before it is said to do something: for an
/// instant behind a call its registers hold what the runtime left in them.
const MOST_SURE: u32 = 3 * RECURRENCES;

/// After so many readings in a row in which one of them was found nowhere it is no longer known what it does.
const MAX_MISSED: u32 = 24;

/// A goroutine that runs is interrupted after so much (forcePreemptNS in Go's runtime/proc.go): before that, what is found is what the
/// last interruption left, and not that it has come back to it.
const INTERRUPTED_AFTER: u64 = 10_000_000;

/// A loop that only asks whether something has come has a few instructions.
const MAX_PLACES: usize = 32;

/// What `testing` runs over and over is the same each time, and its count is kept where nobody looks.
const REPEATS: &str = "testing.(*B).";

/// What the running goroutines of a process have been found at since they were first found in this state.
#[derive(Debug, Clone, Default)]
pub struct Spin {
    /// When the first of these readings was taken.
    pub since: Nanos,
    /// The goroutines that run, by their numbers.
    pub goroutines: BTreeMap<u64, Spinner>,
    living: u64,
    newest: u64,
    /// CPU time at the last reading that counted.
    cpu_ns: u64,
}

/// A goroutine that runs.
#[derive(Debug, Clone)]
pub struct Spinner {
    /// As it was found last.
    pub goroutine: Goroutine,
    /// How often it was found at a place.
    pub found: u32,
    /// How often that was one where it had been found in the same state.
    pub recurred: u32,
    /// Grows with each of these, and shrinks when it is found in another one.
    sure: u32,
    /// How many readings there were since it was found last.
    missed: u32,
    /// The states it was found in, by their places.
    states: HashMap<u64, u64>,
}

impl Spin {
    /// Whether it is enough to say that nothing comes of it.
    pub fn is_proven(&self) -> bool {
        !self.goroutines.is_empty() && self.goroutines.values().all(|s| s.sure >= RECURRENCES)
    }

    /// Takes a reading in; whether it fits to those before it.
    fn goes_on(&mut self, reading: &GoRunning) -> bool {
        if self.is_too_soon(reading) {
            return true;
        }
        self.cpu_ns = reading.cpu_ns;
        let same = (self.living, self.newest) == (reading.living, reading.newest);
        self.goroutines.values_mut().for_each(|spinner| spinner.missed += 1);
        same && reading.goroutines.iter().all(|goroutine| self.is_found(goroutine))
            && self.goroutines.values().all(|spinner| spinner.missed < MAX_MISSED)
    }

    /// Whether it has hardly run since the last reading: others may have the CPU.
    fn is_too_soon(&self, reading: &GoRunning) -> bool {
        let known = self.cpu_ns != 0 && reading.cpu_ns != 0;
        known && reading.cpu_ns.saturating_sub(self.cpu_ns) < INTERRUPTED_AFTER
    }

    fn is_found(&mut self, goroutine: &Goroutine) -> bool {
        let known = self.goroutines.get_mut(&goroutine.id);
        let Some(at) = goroutine.interrupted.filter(|_| goroutine.status == Status::Running) else {
            // For a moment, now and then, it is between two places; what was never found at one does something else.
            return known.is_some();
        };
        if goroutine.functions.iter().any(|function| function.starts_with(REPEATS)) {
            return false;
        }
        let Some(spinner) = known else { return false };
        spinner.goroutine = goroutine.clone();
        spinner.found += 1;
        spinner.missed = 0;
        match spinner.states.insert(at.pc, at.state) {
            None => {}
            Some(before) if before == at.state => {
                spinner.recurred += 1;
                spinner.sure = (spinner.sure + 1).min(MOST_SURE);
            }
            Some(_) if spinner.sure <= RECURRENCES => return false,
            Some(_) => spinner.sure -= RECURRENCES,
        }
        spinner.states.len() <= MAX_PLACES
    }

    /// The first reading; none where not every goroutine that runs is seen at its place.
    fn begin(t: Nanos, reading: &GoRunning) -> Option<Spin> {
        let spinner = |goroutine: &Goroutine| {
            let at = goroutine.interrupted?;
            let states = HashMap::from([(at.pc, at.state)]);
            let goroutine = goroutine.clone();
            Some((
                goroutine.id,
                Spinner { goroutine, found: 1, recurred: 0, sure: 0, missed: 0, states },
            ))
        };
        let goroutines: BTreeMap<u64, Spinner> =
            reading.goroutines.iter().map(spinner).collect::<Option<_>>()?;
        let GoRunning { living, newest, cpu_ns, .. } = *reading;
        (!goroutines.is_empty()).then_some(Spin { since: t, goroutines, living, newest, cpu_ns })
    }
}

impl Session {
    /// What `pid` spins at, where that is proven.
    pub fn spin(&self, pid: Pid) -> Option<&Spin> {
        self.spins.get(&pid).filter(|spin| spin.is_proven())
    }

    pub(super) fn apply_spin(&mut self, event: &Event) {
        match &event.what {
            What::GoRunning(reading) => self.runs(event.t, event.pid, reading),
            What::Snapshot(snapshot) => {
                for process in &snapshot.processes {
                    if let Some(reading) = process.go.as_ref().and_then(running) {
                        let reading = GoRunning { cpu_ns: process.cpu_ns, ..reading };
                        self.runs(event.t, process.pid, &reading);
                    }
                }
            }
            What::Exec(_) | What::ProcessExit { .. } | What::ProcessGone => {
                self.spins.remove(&event.pid);
            }
            _ => {}
        }
    }

    fn runs(&mut self, t: Nanos, pid: Pid, reading: &GoRunning) {
        if self.spins.get_mut(&pid).is_some_and(|spin| spin.goes_on(reading)) {
            return;
        }
        match Spin::begin(t, reading) {
            Some(spin) => self.spins.insert(pid, spin),
            None => self.spins.remove(&pid),
        };
    }
}

#[cfg(test)]
mod tests;
