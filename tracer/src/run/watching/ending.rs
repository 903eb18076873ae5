//! The limits, the end of the command, and what is left to do after it.

use super::super::limits::Act;
use super::super::tree;
use super::super::writing::{Writing, Written};
use super::{BOUND, Running};
use crate::output::recording::Writers;
use gmtrace::bounded::{Patience, is_any_running};
use gmtrace_core::event::{End, EndTag, EndedBy, Exit, SnapshotCause, What};
use gmtrace_core::report::FindingState;
use gmtrace_core::text::Escaped;
use gmtrace_core::units::Nanos;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

impl Running {
    pub(super) fn obey_limits(&mut self, now: Nanos) {
        let still = self.still(now);
        match self.limits.due(now, still) {
            Some(Act::ReportAndSend(signal)) => {
                self.ending = Some(signal);
                self.ask(SnapshotCause::Asked);
            }
            Some(Act::Kill) => self.end_command(libc::SIGKILL),
            None => {}
        }
        if let (None, Some(signal)) = (&self.asked, self.ending) {
            self.ending = None;
            self.report_limit();
            self.end_command(signal);
        }
    }

    /// For how long nothing has moved, as far as that was watched. While the user keeps the command suspended, nothing can.
    pub(super) fn still(&self, now: Nanos) -> Nanos {
        if self.is_suspended() {
            return Nanos(0);
        }
        let moved = self.watch.session.movement.last_moved(self.side.command.pid());
        self.watch.session.watched(moved.max(self.resumed), now)
    }

    /// Whether the command is stopped as a terminal stops it (Ctrl-Z, or a use of the terminal from the background).
    pub(super) fn is_suspended(&self) -> bool {
        let process = self.watch.session.processes.get(&self.side.command.pid());
        let signal = process.and_then(|p| p.stopped.as_ref()).map(|(_, signal)| signal.as_str());
        matches!(signal, Some("SIGTSTP" | "SIGTTIN" | "SIGTTOU"))
    }

    /// Says why the command is ended now.
    pub(super) fn report_limit(&mut self) {
        let option = match self.limits.reached() {
            Some(EndedBy::StallTimeout) => "--stall-timeout",
            _ => "--timeout",
        };
        self.screen.say(&format!("gmtrace: ending the command ({option})."));
        self.writer.keep();
        self.write_targets();
    }

    /// Signals the command and what runs below it. The front is told at once what that makes of the status.
    pub(super) fn end_command(&mut self, signal: i32) {
        let root = self.side.command.pid();
        let session = &self.watch.session;
        let known = session.processes.values();
        let known = known.filter(|p| p.ended.is_none() && session.is_below(p.pid, root));
        let (spared, known): (Vec<_>, Vec<_>) = known.partition(|p| p.is_telemetry());
        let known = known.into_iter().map(|p| p.pid).collect();
        let spared = spared.into_iter().map(|p| p.pid).collect();
        if tree::signal(&self.side.command, known, &spared, signal) {
            self.limits.has_sent(signal, self.side.clock.now());
        }
        if let Some(status) = self.limits.status() {
            self.side.front.status(status);
        }
    }

    pub(super) fn finish(mut self) {
        if let Some(destroyed) = self.destroyed.take() {
            destroyed.finish();
        }
        // What a connection was for hangs on the settings, and a short command is over before they are read.
        let mut patience = Patience::new(BOUND);
        self.settings.iter().for_each(|reading| reading.wait(&mut patience));
        if let Some(privileges) = self.privileges.take() {
            privileges.finish(Instant::now() + patience.pause());
        }
        self.take_readings();
        let now = self.side.clock.now();
        let failed = self.exit.as_ref().is_none_or(|e| *e != Exit::Code(0));
        if failed {
            self.last_snapshot();
        }
        let ended_by = self.limits.ended_by().or(match &self.exit {
            Some(Exit::Signal(signal)) if signal == "SIGINT" => Some(EndedBy::Interrupt),
            Some(Exit::Signal(_)) => Some(EndedBy::Signal),
            Some(Exit::Code(_)) => Some(EndedBy::Exit),
            None => None,
        });
        let lost = self.watch.session.losses.values().sum();
        let end = End { r#type: EndTag::End, t: now, exit: self.exit.clone(), ended_by, lost };
        self.watch.finish(end.clone());
        let stalled = !self.watch.stalls.is_empty();
        let stall_status = self.options.fail_on_stall.filter(|_| stalled && !failed);
        // Before anything that may take long; that of a limit was told when it was reached.
        if let Some(status) = stall_status.filter(|_| self.limits.status().is_none()) {
            self.side.front.status(status);
        }
        let findings = self.watch.findings();
        let worth = stalled || failed && findings.iter().any(|f| f.state != FindingState::Notice);
        // All at once, so that together they take no longer than one of them may.
        let deadline = Instant::now() + BOUND;
        let mut streams = Writing::start(self.due(true), || self.report());
        let mut files = Writing::start(self.due(false), || self.report());
        let outcome =
            std::mem::replace(&mut self.writer, Writers::none()).finish(&end, worth, BOUND);
        let Written { mut files, mut problems } = files.wait(deadline);
        let to_streams = streams.wait(deadline);
        files.extend(to_streams.files);
        files.extend(outcome.written.iter().map(|p| Escaped(&p.to_string_lossy()).to_string()));
        problems.extend(to_streams.problems);
        problems.extend(outcome.problems);
        for problem in &problems {
            self.screen.say(&format!("gmtrace: {problem}"));
        }
        self.last_line(&files, outcome.kept.is_some());
        self.screen.finish(BOUND);
        self.side.front.done();
        streams.go_on();
    }

    pub(super) fn last_snapshot(&mut self) {
        self.ask(SnapshotCause::End);
        let mut patience = Patience::new(BOUND);
        while !patience.is_over(is_any_running) {
            let event = match self.readings.recv_timeout(patience.pause()) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let last = matches!(&event.what, What::Snapshot(s) if s.cause == SnapshotCause::End);
            self.take(event);
            if last {
                return;
            }
        }
    }
}
