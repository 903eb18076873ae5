//! Lock requests and how they ended.

use super::Session;
use crate::event::{Event, KnownBy, LockKind, LockMode, What};
use crate::settings::{CachePathKind, module_of_lock_path};
use crate::units::{Fd, Nanos, Pid, Tid};

/// The end of a wait that is looked for from time to time is seen too late; a wait that was seen to go on lasts this long.
const SEEN_TO_WAIT: Nanos = Nanos::from_millis(100);

/// A lock that took this long was waited for; a shorter one was free.
const WAITED: Nanos = Nanos::from_millis(50);

/// How many modules are told apart.
const MODULES_COUNTED: usize = 100_000;

/// A request for a lock.
#[derive(Debug, Clone)]
pub struct LockWait {
    /// Who asks.
    pub pid: Pid,
    /// The thread, which blocks in the call.
    pub tid: Tid,
    /// The descriptor.
    pub fd: Fd,
    /// The file.
    pub path: String,
    /// flock, posix or ofd.
    pub kind: LockKind,
    /// Shared or exclusive.
    pub mode: LockMode,
    /// When it was asked for.
    pub since: Nanos,
    /// When the request was over.
    pub ended: Option<Nanos>,
    /// `ok`, or the error's name; none when only the end was seen.
    pub result: Option<String>,
    /// How the end is known.
    pub known_by: Option<KnownBy>,
}

impl LockWait {
    /// The error that the call returned.
    pub fn failed(&self) -> Option<&str> {
        self.result.as_deref().filter(|r| !matches!(*r, "ok" | "killed"))
    }
}

impl Session {
    pub(super) fn apply_lock(&mut self, event: &Event) {
        match &event.what {
            What::LockRequest { fd, path, kind, mode } => {
                self.note_module(path);
                self.locks.push(LockWait {
                    pid: event.pid,
                    tid: event.tid,
                    fd: *fd,
                    path: path.clone(),
                    kind: *kind,
                    mode: *mode,
                    since: event.t,
                    ended: None,
                    result: None,
                    known_by: None,
                });
            }
            What::LockEnd { fd, result, known_by, .. } => {
                let open = self.locks.iter().rposition(|l| {
                    l.tid == event.tid && l.pid == event.pid && l.fd == *fd && l.ended.is_none()
                });
                if let Some(at) = open {
                    self.end_lock(at, event.t, result.clone(), *known_by);
                }
            }
            _ => {}
        }
    }

    /// A version lock names the module that is worked on (modfetch.lockVersion).
    fn note_module(&mut self, path: &str) {
        let place = module_of_lock_path(path, None);
        let locked = place.filter(|p| p.kind == CachePathKind::VersionLock);
        let named = locked.and_then(|p| Some(format!("{}@{}", p.module?, p.version?)));
        if self.modules_locked.len() < MODULES_COUNTED {
            self.modules_locked.extend(named);
        }
    }

    fn end_lock(&mut self, at: usize, t: Nanos, result: Option<String>, known_by: KnownBy) {
        let Some(lock) = self.locks.get_mut(at) else { return };
        lock.ended = Some(t);
        lock.result = result;
        lock.known_by = Some(known_by);
        if lock.result.as_deref().is_some_and(|r| r != "ok") {
            return;
        }
        self.locks_taken += 1;
        // Thousands of locks are free when they are asked for: nothing to tell. An end that is only bounded from above by the
        // thread's next event says nothing about how long the call took.
        let took = t.since(lock.since);
        let waited = match known_by {
            KnownBy::Later => false,
            KnownBy::Sampled => took >= SEEN_TO_WAIT,
            _ => took >= WAITED,
        };
        if !waited {
            self.locks.remove(at);
        }
    }
}
