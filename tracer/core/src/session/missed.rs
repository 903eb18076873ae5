//! What events did not tell because some were lost, as far as a snapshot does: who lives, which program each runs, and what is over.
//!
//! An event that is missing leaves one of two gaps: something began that the model does not know, or something ended that it takes for
//! open. The snapshot shows both, later and less exactly.

use super::{Connection, Process, Session};
use crate::event::{DescriptorTarget, Exec, ProcessState, Snapshot};
use crate::units::{Inode, Nanos, Pid};

/// The timeline's own limit, which drops nothing that is open.
pub(super) const OLD_ROWS: &str = "rows: ";

/// A question that was asked so shortly before a reading may be on a socket that the reading came too early for.
const SETTLED: Nanos = Nanos::from_millis(500);

impl Session {
    /// Events that were lost, by cause, and how many.
    pub fn lost_events(&self) -> impl Iterator<Item = (&str, u64)> {
        let losses = self.losses.iter().map(|(cause, count)| (cause.as_str(), *count));
        losses.filter(|(cause, count)| *count > 0 && !cause.starts_with(OLD_ROWS))
    }

    /// Whether what the tree does is seen in part, or not at all.
    pub fn is_blind(&self) -> bool {
        self.header.backend.name == "proc" || self.lost_events().next().is_some()
    }

    /// Whether the model knows a connection that a snapshot shows.
    pub(super) fn is_known_connection(&self, found: &Connection) -> bool {
        let same = |c: &Connection| match (c.socket, found.socket) {
            (Some(known), Some(shown)) => known == shown,
            _ => c.pid == found.pid && c.peer == found.peer,
        };
        self.connections.iter().any(|c| c.closed.is_none() && same(c))
    }

    /// Makes up for what was lost, where anything was.
    pub(super) fn make_up(&mut self, t: Nanos, snapshot: &Snapshot) {
        let root = self.root();
        let answered = snapshot.processes.iter().any(|p| p.pid == root);
        if !answered || self.lost_events().next().is_none() {
            return;
        }
        for process in snapshot.processes.iter().filter(|p| p.in_tree && !is_over(p)) {
            self.learn(t, process);
        }
        self.end_who_is_gone(t, snapshot);
        self.end_lookups(t, snapshot);
    }

    /// A process that began unseen, or runs another program than is known.
    fn learn(&mut self, t: Nanos, state: &ProcessState) {
        let unknown = || Process::new(state.pid, state.ppid, t.since(state.age_ns));
        let process = self.processes.entry(state.pid).or_insert_with(unknown);
        if process.ppid == Pid(0) {
            process.ppid = state.ppid;
        }
        let program = state.program();
        // A fork runs its parent's program until it begins one of its own.
        let same = |known: &Exec| {
            known.role == program.role && (known.exe == program.exe || program.exe.is_empty())
        };
        if process.exec.as_ref().is_some_and(same) {
            return;
        }
        process.exec = Some(program);
        // Nobody knows what it has done until now: it has its whole time from here on.
        self.movement.begins(state.pid, t);
    }

    /// Who is in neither of two snapshots, although it had begun before the first of them, has ended. The event of its end may only
    /// be late where one of them shows it.
    fn end_who_is_gone(&mut self, t: Nanos, snapshot: &Snapshot) {
        let Some((before, old)) = &self.snapshot else { return };
        let gone = |process: &&Process| {
            process.started < *before
                && !lives(snapshot, process.pid)
                && !lives(old, process.pid)
                && process.pid != self.root()
        };
        let gone: Vec<Pid> = self.processes.values().filter(gone).map(|p| p.pid).collect();
        for pid in gone {
            self.end_unseen(pid, t);
        }
    }

    /// Go and libc close the socket of a question when its answer has come.
    fn end_lookups(&mut self, t: Nanos, snapshot: &Snapshot) {
        for lookup in self.lookups.iter_mut().filter(|l| !l.is_over()) {
            let owner = snapshot.processes.iter().find(|p| p.pid == lookup.pid);
            let Some(owner) = owner.filter(|p| !p.descriptors.is_empty()) else { continue };
            let over = |socket: Option<Inode>| socket.is_some_and(|inode| !has_open(owner, inode));
            let settled = lookup.questions.iter().all(|q| t.since(q.t) >= SETTLED);
            if settled && lookup.questions.iter().all(|q| over(q.socket)) {
                lookup.ended = Some(t);
            }
        }
    }
}

fn is_over(process: &ProcessState) -> bool {
    matches!(process.state, 'Z' | 'X')
}

fn lives(snapshot: &Snapshot, pid: Pid) -> bool {
    snapshot.processes.iter().any(|p| p.pid == pid && !is_over(p))
}

fn has_open(process: &ProcessState, socket: Inode) -> bool {
    process.descriptors.iter().any(|d| d.target == DescriptorTarget::Socket(socket))
}
