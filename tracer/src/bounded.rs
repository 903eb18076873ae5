//! Work that may never come back, given a thread and a bound.
//!
//! `statfs` on a dead NFS or FUSE mount sleeps where no signal wakes it: its thread is then left behind
//! until the mount answers or is aborted. A process with such a thread is not reaped before that, so whoever ends with one
//! must not be somebody that others wait for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// At most this many threads may be left behind; with that many, nothing new is tried.
pub const MAX_STUCK: usize = 8;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// What `work` returns, or none when it takes longer than `bound`, when [`MAX_STUCK`] threads are already out, or when it panics.
pub fn run_bounded<T, F>(bound: Duration, work: F) -> Option<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    run(&RUNNING, bound, work)
}

/// Begins work that is done beside other work. None when [`MAX_STUCK`] threads are already out.
pub fn begin_bounded<T, F>(bound: Duration, work: F) -> Option<Begun<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    begin(&RUNNING, bound, work)
}

/// Work that has begun.
#[derive(Debug)]
pub struct Begun<T> {
    result: mpsc::Receiver<T>,
    deadline: Instant,
}

impl<T> Begun<T> {
    /// Its result; none when the bound, counted from its beginning, has passed, or when it panicked.
    pub fn end(self) -> Option<T> {
        self.result.recv_timeout(self.deadline.saturating_duration_since(Instant::now())).ok()
    }
}

fn run<T, F>(running: &'static AtomicUsize, bound: Duration, work: F) -> Option<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    begin(running, bound, work)?.end()
}

fn begin<T, F>(running: &'static AtomicUsize, bound: Duration, work: F) -> Option<Begun<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let place = Place::take(running)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("bounded".to_owned())
        .spawn(move || {
            let result = work();
            drop(place);
            // The receiver is gone when the bound has passed: nobody wants the result any more.
            let _late = sender.send(result);
        })
        .ok()?;
    Some(Begun { result: receiver, deadline: Instant::now() + bound })
}

/// One of the [`MAX_STUCK`] places, given back when dropped, by a panic too.
struct Place(&'static AtomicUsize);

impl Place {
    fn take(running: &'static AtomicUsize) -> Option<Place> {
        running
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
                (running < MAX_STUCK).then_some(running + 1)
            })
            .ok()
            .map(|_before| Place(running))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PLACES: AtomicUsize = AtomicUsize::new(0);

    #[test]
    fn gives_the_result_or_gives_up_and_stops_trying_with_too_many_stuck() {
        assert_eq!(run(&PLACES, Duration::from_secs(60), || 7), Some(7));

        let mut ends = Vec::new();
        for _ in 0..MAX_STUCK {
            let (end, wait) = mpsc::channel::<()>();
            let stuck = run(&PLACES, Duration::from_millis(1), move || {
                let _ended = wait.recv();
            });
            assert_eq!(stuck, None);
            ends.push(end);
        }
        assert_eq!(PLACES.load(Ordering::Acquire), MAX_STUCK);
        assert_eq!(run(&PLACES, Duration::from_secs(60), || 7), None);

        drop(ends);
        while PLACES.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
        assert_eq!(run(&PLACES, Duration::from_secs(60), || 7), Some(7));
    }

    #[test]
    fn a_panic_is_no_result() {
        let result = run_bounded(Duration::from_secs(60), || -> u8 { panic!("on purpose") });
        assert_eq!(result, None);
    }
}
