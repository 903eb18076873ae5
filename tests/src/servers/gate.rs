//! Where answers that are held back wait.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Holds threads until their fault is lifted or their server stops.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    lifts: u64,
}

/// Which lift a thread has seen: taken before the faults are looked up, so that a lift in between is not missed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

impl Gate {
    /// To be taken before the fault is looked up.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.lock().lifts)
    }

    /// Waits until the faults are lifted.
    ///
    /// # Errors
    /// `ConnectionAborted` when the server stops instead.
    pub(super) fn hold(&self, ticket: Ticket) -> io::Result<()> {
        let mut state = self.lock();
        while !state.stopped && state.lifts == ticket.0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.still_open()
    }

    /// Waits for `time`, or until the faults are lifted.
    ///
    /// # Errors
    /// `ConnectionAborted` when the server stops instead.
    pub(super) fn pause(&self, ticket: Ticket, time: Duration) -> io::Result<()> {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.stopped || state.lifts != ticket.0 || left.is_zero() {
                return state.still_open();
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets everybody go on.
    pub(super) fn lift(&self) {
        self.lock().lifts += 1;
        self.changed.notify_all();
    }

    /// Sends everybody home.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Whether [`Gate::stop`] was called.
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn still_open(&self) -> io::Result<()> {
        if self.stopped { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}
