//! The files that `-o` names.

use super::super::plan::is_recording;
use super::super::writing::Writing;
use super::{BOUND, Running};
use crate::output::files::Target;
use gmtrace_core::report::{Frame, Report};
use std::time::Instant;

impl Running {
    pub(super) fn frame(&self) -> Frame {
        Frame {
            observed_at: jiff::Timestamp::now().to_string(),
            now: self.side.clock.now(),
            stops: self.side.stops.load(std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// Writes the files that `-o` names, while the command runs; streams are written to once, at the end.
    pub(super) fn write_targets(&self) {
        let _told_at_the_end =
            Writing::start(self.due(false), || self.report()).wait(Instant::now() + BOUND);
    }

    /// The targets that are no recordings: files, or streams.
    pub(super) fn due(&self, direct: bool) -> Vec<Target> {
        let due = self.targets.iter().filter(|t| !is_recording(t) && t.is_direct() == direct);
        due.cloned().collect()
    }

    pub(super) fn report(&self) -> Report {
        gmtrace_core::report::report(&self.watch, &self.frame())
    }
}
