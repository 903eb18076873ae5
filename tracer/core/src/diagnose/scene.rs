//! What a rule looks at: the session at one moment, and questions that many rules ask of it.

use crate::event::{
    Exit, Goroutine, ProcessRole, ProcessState, SnapshotCause, Syscall, ThreadState,
};
use crate::report::FindingState;
use crate::session::{Connection, LockWait, Phase, Session};
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

    /// The modules `pid` works on, as far as its goroutines tell, and the version locks it holds or waits for: `path@version`.
    pub fn modules(&self, pid: Pid) -> Vec<String> {
        let go = self.session.state_of(pid).and_then(|p| p.go.as_ref());
        let goroutines = go.into_iter().flat_map(|go| &go.goroutines);
        let versioned = goroutines.filter_map(Goroutine::worked_on).filter(|m| m.contains('@'));
        let mut modules: Vec<String> = versioned.chain(self.locked_modules(pid)).collect();
        modules.sort();
        modules.dedup();
        modules
    }

    /// The modules whose version locks `pid` holds or waits for: `path@version`.
    pub fn locked_modules(&self, pid: Pid) -> Vec<String> {
        let descriptors = self.session.state_of(pid).into_iter().flat_map(|p| &p.descriptors);
        let held = descriptors.filter_map(|d| match &d.target {
            crate::event::DescriptorTarget::File(path) => Some(path.as_str()),
            _ => None,
        });
        let waits = |l: &&LockWait| l.pid == pid && l.ended.is_none();
        let asked = self.session.locks.iter().filter(waits).map(|l| l.path.as_str());
        held.chain(asked).filter_map(|path| self.module_of(pid, path)).collect()
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
    /// in which nothing moves has no young waits: the newest may be one of many attempts. Of what was found running there is no
    /// knowing; a second reading tells.
    pub fn is_young(&self, pid: Pid, since: Nanos) -> bool {
        let threshold = self.session.header.stall_after_ns;
        let asked = self.session.snapshot.as_ref().is_some_and(|(_, s)| {
            s.cause == SnapshotCause::Asked && self.session.processes.contains_key(&pid)
        });
        // Of one outside of the tree there is no knowing either.
        let again = self.session.snapshot.as_ref().is_some_and(|(_, s)| {
            s.cause == SnapshotCause::Confirm && !self.session.processes.contains_key(&pid)
        });
        if !self.is_stall()
            || asked
            || again
            || self.session.is_attached()
            || self.now.since(since) >= threshold
        {
            return false;
        }
        let stalled = self.session.stalled(self.now, threshold);
        !stalled.iter().any(|above| self.session.is_below(pid, *above))
    }

    /// The nearest go command above `pid`.
    pub fn go_above(&self, pid: Pid) -> Option<Pid> {
        let mut at = self.session.parent(pid)?;
        for _ in 0..64 {
            if self.is_go(at) {
                return Some(at);
            }
            at = self.session.parent(at).filter(|parent| parent.0 > 0)?;
        }
        None
    }

    /// Whether `pid` is still below `ancestor`, by the newest snapshot: what loses its parent belongs to another.
    pub fn is_child_now(&self, pid: Pid, ancestor: Pid) -> bool {
        let mut at = pid;
        for _ in 0..64 {
            match self.session.state_of(at).map(|p| p.ppid) {
                Some(parent) if parent == ancestor => return true,
                Some(parent) if parent.0 > 0 => at = parent,
                _ => return false,
            }
        }
        false
    }

    /// Since when nothing is known to have moved in `pid`: for one outside of the tree, since the first snapshot that shows it so.
    pub fn still_since(&self, pid: Pid) -> Nanos {
        let movement = &self.session.movement;
        match (movement.last_moved(pid), movement.outside_since(pid)) {
            (Nanos(0), Some(since)) => since,
            (Nanos(0), None) => self.session.moved_above(pid).unwrap_or(self.now),
            (moved, _) => moved,
        }
    }

    /// The child of `pid` that ended last: `git ls-remote`.
    pub fn last_child(&self, pid: Pid) -> Option<String> {
        let mut ended = self.session.ended.iter().rev();
        let child = ended.find(|p| p.ppid == pid && p.exec.is_some() && !p.is_telemetry())?;
        let argv = &child.exec.as_ref()?.argv;
        let (program, words) = argv.split_first()?;
        let name = program.rsplit('/').next().unwrap_or(program);
        let does = words.first().filter(|word| name == "git" && !word.starts_with('-'));
        Some(std::iter::once(name).chain(does.map(String::as_str)).collect::<Vec<_>>().join(" "))
    }

    /// Whether a terminal shows what is typed; none where that could not be read.
    pub fn shows_what_is_typed(&self, terminal: &str) -> Option<bool> {
        let (_, snapshot) = self.session.snapshot.as_ref()?;
        snapshot.terminals.iter().find(|t| t.name == terminal).map(|t| t.echo)
    }

    /// `go list ./... (pid 41190), started by gopls (pid 3300)`.
    pub fn command_and_starter(&self, pid: Pid) -> String {
        let starter = self.session.state_of(pid).and_then(|p| p.started_by.as_ref());
        // Whoever loses its parent goes to the first process, which started nothing of it.
        let starter = starter.filter(|s| s.pid.0 != 1);
        let started = starter.map(|s| format!(", started by {} (pid {})", s.name, s.pid));
        format!("{}{}", self.command(pid), started.unwrap_or_default())
    }

    /// The program's own name: `ssh`.
    pub fn name(&self, pid: Pid) -> String {
        let argv = self.session.argv(pid);
        let program = argv.first().map_or("?", String::as_str);
        program.rsplit('/').next().unwrap_or(program).to_owned()
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
