//! What a rule looks at: the session at one moment, and questions that many rules ask of it.

use crate::event::{Exit, ProcessRole, ProcessState, SnapshotCause, Syscall, ThreadState};
use crate::report::FindingState;
use crate::session::{Connection, Phase, Session};
use crate::settings::{CachePath, CachePathKind, module_of_lock_path};
use crate::text::{self, Style};
use crate::units::{Nanos, Pid};

/// When the question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing moves, or a single wait has grown old, or someone asks: what keeps it waiting?
    Stall,
    /// The command has ended: what made it fail?
    End,
}

/// The session at one moment.
pub struct Scene<'a> {
    /// The model.
    pub session: &'a Session,
    /// Why it is looked at.
    pub moment: Moment,
    /// The time of the newest event.
    pub now: Nanos,
}

impl<'a> Scene<'a> {
    /// A look at `session`.
    pub fn new(session: &'a Session, moment: Moment) -> Scene<'a> {
        Scene { session, moment, now: session.now }
    }

    /// Whether the question is what keeps the command waiting.
    pub fn is_stall(&self) -> bool {
        self.moment == Moment::Stall
    }

    /// Whether the command has ended in an error.
    pub fn has_failed(&self) -> bool {
        match self.session.end.as_ref().and_then(|e| e.exit.as_ref()) {
            Some(Exit::Code(0)) | None => false,
            Some(_) => self.moment == Moment::End,
        }
    }

    /// Whether the command has ended well.
    pub fn has_succeeded(&self) -> bool {
        self.moment == Moment::End
            && self.session.end.as_ref().and_then(|e| e.exit.as_ref()) == Some(&Exit::Code(0))
    }

    /// The state of what is found at this moment.
    pub fn state(&self) -> FindingState {
        if self.is_stall() { FindingState::Stalled } else { FindingState::Failed }
    }

    /// Processes of the newest snapshot, without zombies and Go's telemetry child.
    pub fn living(&self) -> impl Iterator<Item = &'a ProcessState> {
        let processes = self.session.snapshot.as_ref().map(|(_, s)| s.processes.as_slice());
        processes.unwrap_or_default().iter().filter(|p| p.state != 'Z' && p.state != 'X')
    }

    /// Connections in `phase` that matter now: open ones at a stall, at the end of a failed run those that were never over.
    pub fn connections(&self, phase: Phase) -> Vec<&'a Connection> {
        let found = self.session.found_connections.iter().filter(|_| self.is_stall());
        self.session
            .connections
            .iter()
            .filter(|c| if self.is_stall() { c.closed.is_none() } else { self.has_failed() })
            .chain(found)
            .filter(|c| !c.is_dns() && c.phase() == phase)
            .collect()
    }

    /// Threads of `pid` that sit in one of these system calls.
    pub fn threads_in(&self, pid: Pid, names: &[&str]) -> Vec<(&'a ThreadState, &'a Syscall)> {
        let Some(process) = self.session.state_of(pid) else { return Vec::new() };
        let in_call = |t: &'a ThreadState| t.syscall.as_ref().map(|s| (t, s));
        process
            .threads
            .iter()
            .filter_map(in_call)
            .filter(|(_, s)| names.contains(&s.name.as_str()))
            .collect()
    }

    /// The modules `pid` works on, as far as the version locks it holds or waits for tell: `path@version`.
    pub fn modules(&self, pid: Pid) -> Vec<String> {
        let held =
            self.session.state_of(pid).into_iter().flat_map(|p| &p.descriptors).filter_map(|d| {
                match &d.target {
                    crate::event::DescriptorTarget::File(path) => Some(path.as_str()),
                    _ => None,
                }
            });
        let asked = self
            .session
            .locks
            .iter()
            .filter(|l| l.pid == pid && l.ended.is_none())
            .map(|l| l.path.as_str());
        let mut modules: Vec<String> =
            held.chain(asked).filter_map(|path| self.module_of(pid, path)).collect();
        modules.sort();
        modules.dedup();
        modules
    }

    /// The module that a version lock is for, as `path@version`.
    pub fn module_of(&self, pid: Pid, path: &str) -> Option<String> {
        let lock = self.lock_file(pid, path)?;
        if lock.kind != CachePathKind::VersionLock {
            return None;
        }
        Some(format!("{}@{}", lock.module?, lock.version?))
    }

    /// What a lock file of cmd/go is for.
    pub fn lock_file(&self, pid: Pid, path: &str) -> Option<CachePath> {
        let settings = self.session.settings_for(pid);
        let cache = settings.and_then(|s| s.env.get("GOMODCACHE")).map(|s| s.value.as_str());
        module_of_lock_path(path, cache)
    }

    /// `go mod download (pid 41207)`.
    pub fn command(&self, pid: Pid) -> String {
        format!("{} (pid {pid})", self.words(pid))
    }

    /// `go mod download`.
    pub fn words(&self, pid: Pid) -> String {
        let argv = self.session.argv(pid);
        let Some((program, rest)) = argv.split_first() else { return "?".to_owned() };
        let name = program.rsplit('/').next().unwrap_or(program);
        std::iter::once(name).chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    }

    /// The command of `pid` as it is typed into a shell: every word in quotes that needs them, the program's path as it was.
    pub fn paste(&self, pid: Pid) -> String {
        let argv = self.session.argv(pid);
        argv.iter().map(|word| super::paste::word(word)).collect::<Vec<_>>().join(" ")
    }

    /// Whether `pid` runs the go command.
    pub fn is_go(&self, pid: Pid) -> bool {
        self.session.role_of_process(pid) == ProcessRole::Go
    }

    /// Whether a wait of `pid` is too young to be called one: what nothing is known to be wrong with goes on in a moment. A command
    /// in which nothing moves has no young waits: the newest may be one of many attempts.
    pub fn is_young(&self, pid: Pid, since: Nanos) -> bool {
        let threshold = self.session.header.stall_after_ns;
        let asked = self.session.snapshot.as_ref().is_some_and(|(_, s)| {
            s.cause == SnapshotCause::Asked && self.session.processes.contains_key(&pid)
        });
        if !self.is_stall() || asked || self.now.since(since) >= threshold {
            return false;
        }
        let stalled = self.session.stalled(self.now, threshold);
        !stalled.iter().any(|above| self.session.is_below(pid, *above))
    }

    /// The limit of a wait that cmd/go sets none on.
    pub fn no_limit(&self, pid: Pid) -> &'static str {
        if self.is_go(pid) { "none: go would wait for ever" } else { "none that is known" }
    }

    /// How long ago `t` was, as a person says it.
    pub fn ago(&self, t: Nanos) -> String {
        text::duration(self.now.since(t).0, Style::About)
    }

    /// How long ago `t` was, with a tenth.
    pub fn exactly(&self, t: Nanos) -> String {
        text::duration(self.now.since(t).0, Style::Exact)
    }

    /// The newest line on standard error of any process that contains `what`.
    pub fn said(&self, what: &str) -> Option<(Nanos, Pid, &'a str)> {
        self.session.output.find(what)
    }

    /// Whether standard error speaks of this address or host.
    pub fn blames(&self, connection: &Connection) -> bool {
        let address = connection.peer.to_string();
        let host = connection.asked_host();
        self.session.output.all().any(|(_, _, line)| {
            line.contains(&address) || host.as_ref().is_some_and(|h| line.contains(h.as_str()))
        })
    }
}
