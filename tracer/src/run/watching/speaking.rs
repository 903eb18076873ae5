//! What is said while the command runs, and the live line.

use super::Running;
use crate::output::kept;
use crate::output::screen::clear_live_line;
use gmtrace::launch::Capture;
use gmtrace_core::report::live;
use gmtrace_core::report::message::{self, Closing, Context, Offers, Outputs};
use gmtrace_core::units::{Nanos, Pid};
use gmtrace_core::watch::Say;
use std::path::Path;

/// While a stall lasts and there is no terminal, a line a minute.
const REMIND_EVERY: Nanos = Nanos::from_secs(60);
/// So many descriptors of a process are looked at.
const DESCRIPTORS: usize = 64;
/// The live line is drawn after this much silence, and this often.
const QUIET: Nanos = Nanos::from_secs(1);

impl Running {
    pub(super) fn say(&mut self, say: Say) {
        let now = self.side.clock.now();
        match say {
            Say::Stalled(finding) => {
                self.writer.keep();
                let style = self.screen.style();
                let offers = Offers { report: kept::dir().is_some(), attach: true, doctor: false };
                let context = Context {
                    width: style.width.min(100),
                    color: style.palette,
                    prefix: message::PREFIX,
                    closing: Closing::More(message::hint(&finding, offers)),
                };
                self.screen.say(&message::stall(&finding, &context));
                self.reminded = now;
                self.write_targets();
            }
            Say::MovingAgain { finding, lasted, came: true } => {
                self.screen.say(&message::moving_again(&finding, lasted));
            }
            Say::MovingAgain { lasted, .. } => self.screen.say(&message::moves_again(lasted)),
        }
        self.spoke = now;
    }

    /// Without a terminal: a line a minute while a stall lasts.
    pub(super) fn remind(&mut self, now: Nanos) {
        if self.screen.is_terminal() || now.since(self.reminded) < REMIND_EVERY {
            return;
        }
        if let Some((since, Some(finding))) = self.watch.stalled_now() {
            let line = message::still_waiting(finding, now.since(since));
            self.screen.say(&line);
            self.reminded = now;
        }
    }

    pub(super) fn draw(&mut self, now: Nanos) {
        if self.options.quiet || now.since(self.spoke) < QUIET || !self.screen.can_draw() {
            return;
        }
        self.spoke = now;
        // Without ptrace it is not known when the command writes.
        if self.side.capture != Capture::Ptrace || self.within_line || self.terminal_is_taken() {
            return;
        }
        let line = live::live_line(&self.live_state(now), self.screen.style().width);
        self.screen.draw(&line);
    }

    /// Whether something in the tree reads from the terminal, or has opened it for itself, as what asks for a password does: a
    /// prompt must not be written over.
    pub(super) fn terminal_is_taken(&self) -> bool {
        let living = self.watch.session.processes.values().filter(|p| p.ended.is_none());
        living.take(64).any(|p| reads_terminal(p.pid) || has_opened_terminal(p.pid))
    }

    /// Whom the command waits for, and how long.
    pub(super) fn awaited(&self, now: Nanos) -> Option<(String, Nanos)> {
        let session = &self.watch.session;
        if let Some((since, Some(finding))) = self.watch.stalled_now() {
            return Some((message::awaited(finding)?, now.since(since)));
        }
        if let Some(lookup) = session.lookups.iter().find(|l| !l.is_over()) {
            return Some((format!("name server ({})", lookup.name), now.since(lookup.since)));
        }
        if let Some(lock) = session.locks.iter().find(|l| l.ended.is_none()) {
            let name = lock.path.rsplit('/').next().unwrap_or(&lock.path);
            return Some((format!("lock {name}"), now.since(lock.since)));
        }
        let waiting = session.open_waits().min_by_key(|c| c.waiting_since())?;
        let name = session.names_of(waiting.peer.ip()).last().cloned();
        let whom = waiting.asked_host().or(name).unwrap_or_else(|| waiting.peer.ip().to_string());
        Some((whom, now.since(waiting.waiting_since())))
    }

    pub(super) fn live_state(&self, now: Nanos) -> live::LiveState {
        let session = &self.watch.session;
        let bytes = session
            .connections
            .iter()
            .filter(|c| !c.exact)
            .map(|c| c.bytes_received())
            .sum::<u64>();
        live::LiveState {
            elapsed: now,
            modules_done: session.modules_locked.len() as u64,
            modules_in_flight: 0,
            bytes: bytes + session.bytes_closed,
            waiting: self.awaited(now),
        }
    }

    pub(super) fn last_line(&mut self, files: &[String], kept: bool) {
        clear_live_line();
        if self.options.quiet {
            return;
        }
        let report = self.report();
        let outputs = Outputs { files, kept: kept.then_some("gmtrace report") };
        self.screen.say(&message::end_line(&report, outputs));
    }
}

/// Whether the first thread of `pid` sits in a read of a terminal.
fn reads_terminal(pid: Pid) -> bool {
    let Ok(call) = std::fs::read_to_string(format!("/proc/{pid}/syscall")) else { return false };
    let mut words = call.split_whitespace();
    let is_read = words.next().and_then(|n| n.parse::<i64>().ok()) == Some(libc::SYS_read);
    let fd = words.next().and_then(|a| i64::from_str_radix(a.trim_start_matches("0x"), 16).ok());
    let Some(fd) = fd.filter(|_| is_read) else { return false };
    is_terminal(Path::new(&format!("/proc/{pid}/fd/{fd}")))
}

/// Whether a terminal is behind a descriptor other than the three that are inherited.
fn has_opened_terminal(pid: Pid) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<i32>().ok();
    let paths = descriptors.take(DESCRIPTORS).flatten().map(|entry| entry.path());
    paths.filter(|path| number(path).is_some_and(|n| n > 2)).any(|path| is_terminal(&path))
}

/// The link is read, not followed: nothing is opened.
fn is_terminal(descriptor: &Path) -> bool {
    std::fs::read_link(descriptor)
        .is_ok_and(|target| target.starts_with("/dev/pts") || target.starts_with("/dev/tty"))
}
