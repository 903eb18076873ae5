//! Lets another thread wait until the ptrace thread has acted on every stop there was.

use super::sys;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often the ptrace thread is woken at most before nobody waits any more: it has ended, or only lets go on.
const ATTEMPTS: u32 = 200;
/// Between two of them. A wake-up that comes just before wait4(2) is lost.
const ATTEMPT: Duration = Duration::from_millis(1);

/// Rounds of the ptrace thread: a look at all tracees, and the acting on what was seen.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: AtomicU64,
    done: Mutex<u64>,
    changed: Condvar,
    thread: AtomicI32,
}

impl Rounds {
    /// The calling thread is the ptrace thread.
    pub(super) fn run_here(&self) {
        self.shared.thread.store(nix::unistd::gettid().as_raw(), Ordering::Relaxed);
    }

    /// Before a look at all tracees: the number that this round answers.
    pub(super) fn begin(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// Everything that was seen has been acted on.
    pub(super) fn end(&self, round: u64) {
        *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner) = round;
        self.shared.changed.notify_all();
    }

    /// Waits until a whole round has passed.
    pub fn wait(&self) {
        let shared = &*self.shared;
        let round = shared.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            sys::wake(shared.thread.load(Ordering::Relaxed));
            let waited = shared.changed.wait_timeout(done, ATTEMPT);
            done = waited.unwrap_or_else(PoisonError::into_inner).0;
            if *done >= round {
                return;
            }
        }
    }
}
