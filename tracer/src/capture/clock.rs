//! The one clock: CLOCK_MONOTONIC, counted from the start of the run.

use gmtrace_core::event::{Event, What};
use gmtrace_core::units::{Nanos, Pid};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Whoever sleeps on a busy machine wakes up some tens of milliseconds late. What is later than this did not run.
const LATE: Nanos = Nanos::from_millis(200);

/// Tells the time since the start of the run. The same in every process of gmtrace, since CLOCK_MONOTONIC is the machine's
/// (clock_gettime(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    start: u64,
}

impl Clock {
    /// A run that starts now.
    pub fn start() -> Clock {
        Clock { start: monotonic() }
    }

    /// A run that began this long ago.
    pub fn began(ago: Nanos) -> Clock {
        Clock { start: monotonic().saturating_sub(ago.0) }
    }

    /// What a reading of CLOCK_MONOTONIC in nanoseconds, the kernel's for one, is on this clock.
    pub fn at(self, monotonic: u64) -> Nanos {
        Nanos(monotonic.saturating_sub(self.start))
    }

    /// Time since the start.
    pub fn now(self) -> Nanos {
        Nanos(monotonic().saturating_sub(self.start))
    }

    /// What the end of a sleep says, which began then and was to last `meant`: nothing, where it came in time.
    pub fn lapse(self, began: Nanos, meant: Duration) -> Option<Event> {
        let t = self.now();
        let meant = u64::try_from(meant.as_nanos()).unwrap_or(u64::MAX);
        let ns = Nanos(t.since(began).0.saturating_sub(meant));
        let event = Event { t, pid: Pid(0), tid: Pid(0).into(), what: What::Lapse { ns } };
        (ns >= LATE).then_some(event)
    }

    /// CLOCK_MONOTONIC itself, in nanoseconds.
    pub fn monotonic(self) -> u64 {
        monotonic()
    }
}

/// CLOCK_MONOTONIC in nanoseconds; it cannot fail on Linux.
fn monotonic() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let whole = u64::try_from(time.tv_sec()).unwrap_or(0).saturating_mul(1_000_000_000);
        whole.saturating_add(u64::try_from(time.tv_nsec()).unwrap_or(0))
    })
}
