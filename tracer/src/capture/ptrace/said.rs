//! What tracees write to standard error.

use super::engine::Engine;
use super::sys;
use crate::capture::said::{PATIENCE, STDERR, Whole};
use gmtrace_core::event::What;
use gmtrace_core::units::{Nanos, Pid, Tid};

impl Engine {
    /// A write to standard error. Told even where no line has ended by it: that it was written is seen on the screen.
    pub(super) fn said(
        &mut self,
        (pid, tid): (Pid, Tid),
        written: &[u8],
        cut: bool,
        ends_line: bool,
    ) {
        let now = self.clock.now();
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Whole { text, truncated } = process.said.add(written, cut, now);
        if process.said.is_unfinished() && !self.unfinished.contains(&pid) {
            self.unfinished.push(pid);
            self.set_alarm();
        }
        self.tell(pid, tid, What::Output { fd: STDERR, text, truncated, ends_line });
    }

    /// A process ends or becomes another program: tells the line that it did not finish.
    pub(super) fn say_the_rest(&mut self, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let rest = process.said.rest();
        self.unfinished.retain(|other| *other != pid);
        if let Some(text) = rest {
            let what = What::Output { fd: STDERR, text, truncated: false, ends_line: false };
            self.tell(pid, pid.into(), what);
        }
    }

    /// Tells the unfinished lines whose writers have been silent for a moment.
    pub(super) fn say_old_lines(&mut self, now: Nanos) {
        for pid in std::mem::take(&mut self.unfinished) {
            let said = self.processes.get(&pid).map(|process| &process.said);
            let Some(said) = said.filter(|said| said.is_unfinished()) else { continue };
            if said.is_old(now) {
                self.say_the_rest(pid);
            } else {
                self.unfinished.push(pid);
            }
        }
    }

    /// Has the thread woken while there is something to look after: windows, or unfinished lines.
    pub(super) fn set_alarm(&mut self) {
        let every = match (self.windows.is_empty(), self.unfinished.is_empty()) {
            (false, _) => super::window::TICK,
            (true, false) => PATIENCE,
            (true, true) => Nanos(0),
        };
        if every != std::mem::replace(&mut self.alarm, every) {
            sys::set_alarm((every.0 / 1_000_000) as u32);
        }
    }
}
