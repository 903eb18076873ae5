//! `--timeout`, `--stall-timeout` and `--kill-after`, as timeout(1).

use crate::cli::RunOptions;
use crate::exit::{KILLED, TIMED_OUT};
use crate::run::plan::nanos;
use gmtrace_core::event::EndedBy;
use gmtrace_core::units::Nanos;

/// When to end the command.
pub struct Limits {
    timeout: Option<Nanos>,
    stall_timeout: Option<Nanos>,
    kill_after: Option<Nanos>,
    signal: i32,
    due: Option<EndedBy>,
    sent: Option<Nanos>,
    killed: bool,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Report, then send this signal.
    ReportAndSend(i32),
    /// It has not ended: kill it.
    Kill,
}

impl Limits {
    /// The limits that were asked for.
    pub fn new(options: &RunOptions) -> Limits {
        let given = |span: Option<crate::cli::Span>| span.map(|s| nanos(s.0)).filter(|n| n.0 > 0);
        Limits {
            timeout: given(options.timeout),
            stall_timeout: given(options.stall_timeout),
            kill_after: given(options.kill_after),
            signal: options.signal.0,
            due: None,
            sent: None,
            killed: false,
        }
    }

    /// What is due at `now`, when nothing has moved for `still`.
    pub fn due(&mut self, now: Nanos, still: Nanos) -> Option<Act> {
        if let Some(when) = self.sent {
            let late = self.kill_after.is_some_and(|after| now.since(when) >= after);
            return (late && !self.killed).then_some(Act::Kill);
        }
        if self.due.is_some() {
            return None;
        }
        let over = |limit: Option<Nanos>, passed: Nanos| limit.is_some_and(|l| passed >= l);
        let why = if over(self.timeout, now) {
            EndedBy::Timeout
        } else if over(self.stall_timeout, still) {
            EndedBy::StallTimeout
        } else {
            return None;
        };
        self.due = Some(why);
        let signal = if why == EndedBy::Timeout { self.signal } else { libc::SIGTERM };
        Some(Act::ReportAndSend(signal))
    }

    /// The command was still there, and has been sent this signal.
    pub fn has_sent(&mut self, signal: i32, now: Nanos) {
        self.sent.get_or_insert(now);
        self.killed |= signal == libc::SIGKILL;
    }

    /// The limit that has been reached.
    pub fn reached(&self) -> Option<EndedBy> {
        self.due
    }

    /// The limit that ended the command.
    pub fn ended_by(&self) -> Option<EndedBy> {
        self.due.filter(|_| self.sent.is_some())
    }

    /// The status that a limit gives.
    pub fn status(&self) -> Option<u8> {
        self.sent.map(|_| if self.killed { KILLED } else { TIMED_OUT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(timeout: u64, kill_after: Option<u64>) -> Limits {
        Limits {
            timeout: Some(Nanos::from_secs(timeout)),
            stall_timeout: None,
            kill_after: kill_after.map(Nanos::from_secs),
            signal: 15,
            due: None,
            sent: None,
            killed: false,
        }
    }

    #[test]
    fn the_signal_is_sent_once_and_then_the_kill() {
        let mut limits = limits(10, Some(2));
        let at = Nanos::from_secs;
        assert_eq!(limits.due(at(9), at(0)), None);
        assert_eq!(limits.due(at(10), at(0)), Some(Act::ReportAndSend(15)));
        limits.has_sent(15, at(11));
        assert_eq!((limits.status(), limits.ended_by()), (Some(124), Some(EndedBy::Timeout)));
        assert_eq!(limits.due(at(12), at(0)), None);
        assert_eq!(limits.due(at(13), at(0)), Some(Act::Kill));
        limits.has_sent(9, at(13));
        assert_eq!(limits.due(at(14), at(0)), None);
        assert_eq!(limits.status(), Some(137));
    }

    #[test]
    fn a_command_that_ends_before_the_signal_goes_out_keeps_its_status() {
        let mut limits = limits(10, Some(2));
        assert!(limits.due(Nanos::from_secs(10), Nanos(0)).is_some());
        assert_eq!(limits.due(Nanos::from_secs(20), Nanos(0)), None);
        assert_eq!((limits.status(), limits.ended_by()), (None, None));
    }

    #[test]
    fn without_a_limit_nothing_is_due() {
        let mut limits = Limits { timeout: None, ..limits(1, None) };
        assert_eq!(limits.due(Nanos::from_secs(1_000_000), Nanos::from_secs(1_000_000)), None);
        assert_eq!(limits.status(), None);
    }
}
