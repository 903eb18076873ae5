//! Locks that were asked for, and whose end was not seen: the thread was let go at the entry of flock(2), because its exit
//! would cost as much again.
//!
//! The end is told once, by whoever learns it first: the engine at the thread's next stop, or the sampler when `/proc` shows
//! the thread elsewhere. Whoever takes the entry out tells it.

use gmtrace_core::event::{Event, KnownBy, What};
use gmtrace_core::units::{Fd, Nanos, Pid, Tid};
use std::sync::{Arc, Mutex, PoisonError};

/// A lock request whose end was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingLock {
    /// The process.
    pub pid: Pid,
    /// The thread that may be blocked.
    pub tid: Tid,
    /// The descriptor.
    pub fd: Fd,
    /// What it names.
    pub path: String,
    /// When it was asked for.
    pub since: Nanos,
    /// Tells this request from a later one of the same thread.
    pub id: u64,
}

impl PendingLock {
    /// The event that says that it is over.
    pub fn ended(self, t: Nanos, result: Option<String>, known_by: KnownBy) -> Event {
        let what = What::LockEnd { fd: self.fd, path: self.path, result, known_by };
        Event { t, pid: self.pid, tid: self.tid, what }
    }
}

/// All pending requests, shared between the ptrace thread and the sampler. Held for a few instructions at a time.
#[derive(Debug, Clone, Default)]
pub struct PendingLocks {
    list: Arc<Mutex<Vec<PendingLock>>>,
}

impl PendingLocks {
    /// A copy of what is pending, for the sampler to look up in `/proc/PID/task/TID/syscall`.
    pub fn list(&self) -> Vec<PendingLock> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a request out. `None` when it has been taken, and so told, already.
    pub fn take(&self, id: u64) -> Option<PendingLock> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let index = list.iter().position(|lock| lock.id == id)?;
        Some(list.swap_remove(index))
    }

    /// Adds a request.
    pub fn add(&self, lock: PendingLock) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_once() {
        let locks = PendingLocks::default();
        let lock = PendingLock {
            pid: Pid(1),
            tid: Tid(2),
            fd: Fd(3),
            path: "/x.lock".into(),
            since: Nanos(4),
            id: 5,
        };
        locks.add(lock.clone());
        assert_eq!(locks.list(), std::slice::from_ref(&lock));
        assert_eq!(locks.take(5), Some(lock));
        assert_eq!(locks.take(5), None);
        assert!(locks.list().is_empty());
    }
}
