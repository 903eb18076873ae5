//! Work that may never come back, given a thread and a bound.
//!
//! `statfs` on a dead NFS or FUSE mount sleeps where no signal wakes it: its thread is then left behind
//! until the mount answers or is aborted. A process with such a thread is not reaped before that, so whoever ends with one
//! must not be somebody that others wait for.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// At most this many threads may be left behind; with that many, nothing new is tried.
pub const MAX_STUCK: usize = 8;

/// Past its bound, work is given up when it has not been seen to run, or to wait for a CPU, for so long.
const IDLE: Duration = Duration::from_millis(100);
/// It is looked at this often.
const LOOK: Duration = Duration::from_millis(10);
/// Work that runs is given up after so many bounds all the same.
const MOST: u32 = 5;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Threads that do bounded work.
static THREADS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// What `work` returns, or none when it sleeps past `bound`, when [`MAX_STUCK`] threads are already out, or when it panics. Where it
/// runs, or would if it had a CPU, it is waited for five times as long: a machine may be busy.
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
    /// 0 before it has begun.
    thread: Arc<AtomicI32>,
    patience: Patience,
}

impl<T> Begun<T> {
    /// Its result; none when the bound, counted from its beginning, has passed and it does not run, or when it panicked.
    pub fn end(mut self) -> Option<T> {
        loop {
            match self.result.recv_timeout(self.patience.pause()) {
                Ok(result) => return Some(result),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            let thread = &self.thread;
            if self.patience.is_over(|| runs(thread.load(Ordering::Acquire))) {
                return None;
            }
        }
    }
}

/// How long something is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    begun: Instant,
    bound: Duration,
    /// When it was last seen to run.
    ran: Instant,
}

impl Patience {
    /// From now on.
    pub fn new(bound: Duration) -> Patience {
        let begun = Instant::now();
        Patience { begun, bound, ran: begun }
    }

    /// Whether the bound has passed, and `runs` has not been true for a while, or whether several bounds have.
    pub fn is_over(&mut self, runs: impl FnOnce() -> bool) -> bool {
        let passed = self.begun.elapsed();
        if passed < self.bound {
            return false;
        }
        if runs() {
            self.ran = Instant::now();
        }
        let idle = self.ran.max(self.begun + self.bound).elapsed();
        idle >= IDLE || passed >= self.bound * MOST
    }

    /// How long to wait before [`Patience::is_over`] is asked again.
    pub fn pause(&self) -> Duration {
        self.bound.saturating_sub(self.begun.elapsed()).max(LOOK)
    }
}

/// Lets this thread count as one that does bounded work, until it ends.
#[derive(Debug)]
pub struct Counted(i32);

impl Counted {
    /// This thread.
    #[allow(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Counted {
        let thread = nix::unistd::gettid().as_raw();
        THREADS.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Counted(thread)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        THREADS.lock().unwrap_or_else(PoisonError::into_inner).retain(|thread| *thread != self.0);
    }
}

/// Whether bounded work is being done, and not merely waited for.
pub fn is_any_running() -> bool {
    let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    threads.into_iter().any(runs)
}

/// Whether a thread of another process runs.
pub fn is_running(process: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.flatten().any(|thread| is_on_cpu(&thread.path()))
}

/// Whether a thread of this process runs.
fn runs(thread: i32) -> bool {
    // It has not had a CPU at all.
    thread == 0 || is_on_cpu(Path::new(&format!("/proc/self/task/{thread}")))
}

/// Whether a thread runs, or waits for nothing but a CPU, in which case its state is R as well (proc_pid_stat(5)).
fn is_on_cpu(thread: &Path) -> bool {
    let stat = fs::read(thread.join("stat")).unwrap_or_default();
    // Behind the name, which may have any byte in it.
    let state = stat.rsplit(|byte| *byte == b')').next().and_then(|rest| rest.get(1));
    state == Some(&b'R')
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
    let thread = Arc::new(AtomicI32::new(0));
    let own = Arc::clone(&thread);
    thread::Builder::new()
        .name("bounded".to_owned())
        .spawn(move || {
            let counted = Counted::new();
            own.store(counted.0, Ordering::Release);
            let result = work();
            drop((place, counted));
            // The receiver is gone when the bound has passed: nobody wants the result any more.
            let _late = sender.send(result);
        })
        .ok()?;
    Some(Begun { result: receiver, thread, patience: Patience::new(bound) })
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
    fn what_runs_is_waited_for_past_its_bound() {
        let bound = Duration::from_millis(300);
        let begun = Instant::now();
        let computes = run_bounded(bound, move || while begun.elapsed() < bound * 3 / 2 {});
        assert_eq!(computes, Some(()));
    }

    #[test]
    fn what_runs_for_ever_is_given_up() {
        let mut patience = Patience::new(Duration::from_millis(1));
        while !patience.is_over(|| true) {
            thread::sleep(patience.pause());
        }
        assert!(patience.begun.elapsed() >= Duration::from_millis(1) * MOST);
    }

    #[test]
    fn a_panic_is_no_result() {
        let result = run_bounded(Duration::from_secs(60), || -> u8 { panic!("on purpose") });
        assert_eq!(result, None);
    }
}
