//! The one clock: CLOCK_MONOTONIC, counted from the start of the run.

use gmtrace_core::units::Nanos;
use nix::time::{ClockId, clock_gettime};

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
