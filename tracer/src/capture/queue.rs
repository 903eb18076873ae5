//! The way of events to the watch. Who sends never waits; what has no room is the sender's to count. Who takes sleeps between two
//! looks, so that a stream of events wakes nobody for each, and is woken when the last sender goes.

use gmtrace_core::event::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Opens a queue with room for so many events; it takes memory only for those that wait.
pub fn queue(room: usize) -> (EventSender, EventReceiver) {
    let state = State { events: VecDeque::new(), senders: 1, gone: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), over: Condvar::new() });
    (EventSender { shared: Arc::clone(&shared), room }, EventReceiver { shared })
}

/// Why an event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no room.
    Full,
    /// Nobody will ever take one.
    Gone,
}

/// The end that events go in by.
#[derive(Debug)]
pub struct EventSender {
    shared: Arc<Shared>,
    room: usize,
}

/// The end that they come out of.
#[derive(Debug)]
pub struct EventReceiver {
    shared: Arc<Shared>,
}

/// What a look brought.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they were sent.
    pub events: VecDeque<Event>,
    /// No more can come.
    pub over: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Event>,
    senders: usize,
    gone: bool,
}

impl Shared {
    /// Nothing under this lock can fail half-way, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, event: Event, room: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        match state.events.len() {
            _ if state.gone => return Err(Refused::Gone),
            waiting if waiting >= room => return Err(Refused::Full),
            _ => state.events.push_back(event),
        }
        Ok(())
    }
}

impl EventSender {
    /// Sends where there is room.
    ///
    /// # Errors
    /// Where there is none, or nobody who takes it.
    pub fn send(&self, event: Event) -> Result<(), Refused> {
        self.shared.put(event, self.room)
    }

    /// Sends what must not be lost, for which there is always room.
    pub fn send_last(&self, event: Event) {
        // Gone: nobody wants to know.
        _ = self.shared.put(event, usize::MAX);
    }
}

impl Clone for EventSender {
    fn clone(&self) -> EventSender {
        self.shared.lock().senders += 1;
        EventSender { shared: Arc::clone(&self.shared), room: self.room }
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        self.shared.lock().senders -= 1;
        self.shared.over.notify_all();
    }
}

impl EventReceiver {
    /// Takes all that waits.
    pub fn take(&self) -> Batch {
        let mut state = self.shared.lock();
        Batch { events: std::mem::take(&mut state.events), over: state.senders == 0 }
    }

    /// Sleeps for so long, or until the last sender has gone.
    pub fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.shared.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.senders == 0 || left.is_zero() {
                return;
            }
            let woken = self.shared.over.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        self.shared.lock().gone = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmtrace_core::event::What;
    use gmtrace_core::units::{Nanos, Pid};

    fn event(t: u64) -> Event {
        Event { t: Nanos(t), pid: Pid(1), tid: Pid(1).into(), what: What::Continued }
    }

    fn times(batch: &Batch) -> Vec<u64> {
        batch.events.iter().map(|event| event.t.0).collect()
    }

    #[test]
    fn what_has_no_room_is_refused_and_the_last_always_has() {
        let (sender, receiver) = queue(2);
        assert_eq!(sender.send(event(1)), Ok(()));
        assert_eq!(sender.send(event(2)), Ok(()));
        assert_eq!(sender.send(event(3)), Err(Refused::Full));
        sender.send_last(event(4));
        let batch = receiver.take();
        assert_eq!((times(&batch), batch.over), (vec![1, 2, 4], false));
        assert_eq!(sender.send(event(5)), Ok(()));
        drop(receiver);
        assert_eq!(sender.send(event(6)), Err(Refused::Gone));
    }

    #[test]
    fn the_last_sender_that_goes_wakes_who_rests() {
        let (sender, receiver) = queue(2);
        let second = sender.clone();
        drop(sender);
        assert!(!receiver.take().over);
        let resting = std::thread::spawn(move || {
            receiver.rest(Duration::from_secs(600));
            receiver.take()
        });
        second.send_last(event(1));
        drop(second);
        let batch = resting.join().unwrap();
        assert_eq!((times(&batch), batch.over), (vec![1], true));
    }
}
