//! Which signals of the front are meant for the command.
//!
//! Who sends a signal to gmtrace means the command. But `kill -- -PGID` and a service manager send to every process, so the
//! command has it already, and twice is not once: a second SIGINT makes many programs leave at once. What reaches the command
//! is seen on its way (a signal's stop), or it waits there.

use super::Held;
use super::link::Got;
use crate::capture::ptrace::{SeenSignals, sys};
use std::sync::Arc;

/// The signals that are seen on their way to the command.
pub(super) struct Seen {
    /// Those that were.
    pub signals: SeenSignals,
    /// Comes back when all that were sent before are among them.
    pub until_now: Box<dyn Fn() + Send>,
}

/// Decides, and passes on.
pub(super) struct Forwarder {
    /// What is seen on its way to the command; nothing where it is not captured.
    pub seen: Option<Seen>,
    /// The command.
    pub process: Arc<Held>,
    /// Its process id.
    pub pid: i32,
}

impl Forwarder {
    /// A signal that the front got.
    pub(super) fn got(&self, got: Got) {
        let Got { signal, from } = got;
        if self.reaches_command(signal, from.pid) {
            return;
        }
        if let Some(seen) = &self.seen {
            seen.signals.pass_on(signal, from);
        }
        // ESRCH: it has ended meanwhile, and so will the front.
        _ = self.process.kill(signal);
    }

    /// Whether the command got the same signal itself.
    ///
    /// kill(2) for a process group sends to its newest member first (kernel: attach_pid adds at the head, __kill_pgrp_info goes
    /// from there), so the command has it by now. Either it still waits, or the command's thread has taken it and, in the same
    /// moment (get_signal holds `siglock` across both), stopped for the tracer: then a round of the ptrace thread shows it. The
    /// second look is for senders that go through the processes one by one.
    fn reaches_command(&self, signal: i32, sender: i32) -> bool {
        (0..2).any(|_| is_waiting(self.pid, signal) || self.is_seen(signal, sender))
    }

    fn is_seen(&self, signal: i32, sender: i32) -> bool {
        let Some(seen) = &self.seen else { return false };
        (seen.until_now)();
        seen.signals.has_reached(signal, sender)
    }
}

/// Whether a signal waits for the command: a second one of the kind would change nothing (signal(7), "Standard signals").
fn is_waiting(pid: i32, signal: i32) -> bool {
    const FIRST_REALTIME: i32 = 32;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    signal < FIRST_REALTIME && waiting(&status) & sys::signal_bit(signal) != 0
}

/// The signals that wait for a process or its first thread (proc(5), ShdPnd and SigPnd).
fn waiting(status: &str) -> u64 {
    let set = |line: &str| {
        let set = line.strip_prefix("ShdPnd:").or_else(|| line.strip_prefix("SigPnd:"))?;
        u64::from_str_radix(set.trim(), 16).ok()
    };
    status.lines().filter_map(set).fold(0, |all, set| all | set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_read_from_both_sets() {
        let status = "Name:\tgo\nSigPnd:\t0000000000000002\nShdPnd:\t0000000000004000\nSigBlk:\tffffffffffffffff\n";
        assert_eq!(waiting(status), sys::signal_bit(libc::SIGINT) | sys::signal_bit(libc::SIGTERM));
    }
}
