//! What is read, and when: counters, locks whose end nobody sees, goroutines, and everything where nothing moves.

use super::super::collector::Request;
use super::{BOUND, Running};
use gmtrace::bounded::{Patience, is_any_running};
use gmtrace::capture::proc::{SnapshotWants, still_in_lock};
use gmtrace_core::diagnose::unpacking;
use gmtrace_core::event::{Event, KnownBy, Snapshot, SnapshotCause, What};
use gmtrace_core::units::{Inode, Nanos, Pid};
use std::collections::HashSet;

/// Counters are read this often.
const SAMPLE_EVERY: Nanos = Nanos::from_millis(250);
/// Goroutines are read this often, from half a second on: a reading takes some milliseconds, and what is over sooner has no use
/// for it.
const WORK_EVERY: Nanos = Nanos::from_millis(500);
/// So many go commands are looked into each time.
const WORKERS: usize = 4;
/// A lock request that has not ended after this long is looked up in `/proc`.
const LOCK_LOOK: Nanos = Nanos::from_millis(50);
/// A thread that was out of the call for this long has left it.
const LOCK_LEFT: Nanos = Nanos::from_millis(20);

impl Running {
    /// Reads what may have moved; and everything, where nothing has.
    pub(super) fn look(&mut self, now: Nanos) {
        self.look_at_locks(now);
        // A /proc that does not answer is asked once, not once more every time.
        if now.since(self.sampled) >= SAMPLE_EVERY && !self.sampling {
            self.sampled = now;
            self.sampling = true;
            self.collector.ask(Request::Sample { pids: self.pids(), sockets: self.sockets() });
        }
        self.look_at_work(now);
        if let Some((cause, patience)) = &mut self.asked {
            let cause = *cause;
            if patience.is_over(is_any_running) {
                self.asked = None;
                self.without_snapshot(cause, now);
            }
            return;
        }
        if let Some(cause) = self.watch.due(now) {
            self.ask(cause);
        }
    }

    /// Reads what go commands work on, while they do. At a stall a snapshot shows it, and more.
    pub(super) fn look_at_work(&mut self, now: Nanos) {
        let due = now.since(self.worked) >= WORK_EVERY && !self.sampling && self.asked.is_none();
        if !due || self.options.no_sampler {
            return;
        }
        self.worked = now;
        let mut busy = self.watch.session.may_spin(now);
        busy.truncate(WORKERS);
        if !busy.is_empty() {
            self.collector.ask(Request::Running(busy));
        }
        if self.watch.stalled_now().is_some() {
            return;
        }
        let mut workers = self.watch.session.go_commands();
        workers.truncate(WORKERS);
        if !workers.is_empty() {
            self.collector.ask(Request::Work(workers));
        }
    }

    pub(super) fn ask(&mut self, cause: SnapshotCause) {
        self.asked = Some((cause, Patience::new(BOUND)));
        self.collector.ask(Request::Snapshot {
            cause,
            root: self.side.command.pid(),
            known: self.pids(),
            wants: self.wants(cause),
        });
    }

    /// `/proc` itself did not answer: what is known has to do.
    pub(super) fn without_snapshot(&mut self, cause: SnapshotCause, now: Nanos) {
        let snapshot = Snapshot {
            cause,
            unseen: vec!["a reading of /proc did not come back within 1 s".to_owned()],
            ..Default::default()
        };
        let what = What::Snapshot(Box::new(snapshot));
        self.take(Event { t: now, pid: Pid(0), tid: Pid(0).into(), what });
    }

    pub(super) fn wants(&self, cause: SnapshotCause) -> SnapshotWants {
        let settings = self.watch.session.settings_for(self.side.command.pid());
        let place = |purpose: &str, name: &str| {
            let path = settings?.env.get(name)?.value.clone();
            path.starts_with('/').then(|| (purpose.to_owned(), path))
        };
        let mut filesystems: Vec<_> =
            [place("module cache", "GOMODCACHE"), place("build cache", "GOCACHE")]
                .into_iter()
                .flatten()
                .collect();
        filesystems.push(("working directory".to_owned(), self.watch.session.header.cwd.clone()));
        SnapshotWants {
            filesystems,
            partial: unpacking::possible_notes(&self.watch.session),
            scan_machine: cause == SnapshotCause::Confirm,
            ..SnapshotWants::default()
        }
    }

    pub(super) fn pids(&self) -> Vec<Pid> {
        let mut pids: Vec<Pid> = self.watch.session.processes.keys().copied().collect();
        if !pids.contains(&self.side.command.pid()) {
            pids.push(self.side.command.pid());
        }
        pids
    }

    /// The sockets whose counters matter; where nothing is captured, or something was lost, they are not known and have to be looked for.
    pub(super) fn sockets(&self) -> Option<HashSet<Inode>> {
        (!self.watch.session.is_blind()).then(|| {
            let open =
                self.watch.session.connections.iter().filter(|c| c.closed.is_none() && !c.is_dns());
            open.filter_map(|c| c.socket).collect()
        })
    }

    /// The end of a lock request is not trapped: the thread is found elsewhere. Twice, because a thread that is woken by a signal
    /// runs for a moment and then waits on, or ends.
    pub(super) fn look_at_locks(&mut self, now: Nanos) {
        let pending = self.side.locks.list();
        self.left_locks.retain(|id, _| pending.iter().any(|lock| lock.id == *id));
        for lock in pending.iter().filter(|lock| now.since(lock.since) >= LOCK_LOOK) {
            if still_in_lock(lock.pid, lock.tid) != Some(false) {
                self.left_locks.remove(&lock.id);
                continue;
            }
            let first = *self.left_locks.entry(lock.id).or_insert(now);
            if now.since(first) < LOCK_LEFT {
                continue;
            }
            if let Some(lock) = self.side.locks.take(lock.id) {
                self.take(lock.ended(first, None, KnownBy::Sampled));
            }
        }
    }
}
