//! What a server has seen, readable and waitable.

use std::fmt::Debug;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long [`Log::wait_for`] waits before it calls the scenario broken. It is a bound on failure alone: what is waited for
/// comes within milliseconds, on a machine with a hundred other builds within seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A list that grows while a server works. Waiting for an entry is how a scenario proves that the hang is the one it claims.
#[derive(Debug)]
pub struct Log<T> {
    entries: Mutex<Vec<T>>,
    changed: Condvar,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { entries: Mutex::new(Vec::new()), changed: Condvar::new() }
    }
}

impl<T: Clone + Debug> Log<T> {
    /// Adds an entry, and gives the number under which [`Log::update`] finds it again.
    pub fn push(&self, entry: T) -> usize {
        let mut entries = self.lock();
        entries.push(entry);
        self.changed.notify_all();
        entries.len() - 1
    }

    /// Changes the entry of that number.
    pub fn update(&self, number: usize, change: impl FnOnce(&mut T)) {
        if let Some(entry) = self.lock().get_mut(number) {
            change(entry);
        }
        self.changed.notify_all();
    }

    /// Everything up to now.
    pub fn all(&self) -> Vec<T> {
        self.lock().clone()
    }

    /// How many entries are `wanted` up to now.
    pub fn count(&self, wanted: impl Fn(&T) -> bool) -> usize {
        self.lock().iter().filter(|entry| wanted(entry)).count()
    }

    /// The first entry that is `wanted`, as soon as there is one.
    ///
    /// # Errors
    /// When it has not come within a minute; the error shows the `what` that was waited for and all that came instead.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&T) -> bool) -> Result<T> {
        self.wait_for_nth(1, what, wanted)
    }

    /// The entry that is the `n`th that is `wanted`, counted from 1.
    ///
    /// # Errors
    /// As [`Log::wait_for`].
    pub fn wait_for_nth(&self, n: usize, what: &str, wanted: impl Fn(&T) -> bool) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut entries = self.lock();
        loop {
            if let Some(entry) =
                entries.iter().filter(|entry| wanted(entry)).nth(n.saturating_sub(1))
            {
                return Ok(entry.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waited {PATIENCE:?} for {what}; what came: {:#?}", *entries);
            }
            entries =
                self.changed.wait_timeout(entries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
