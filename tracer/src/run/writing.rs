//! Writes what `-o` names, on a thread: a disk may be dead, and whoever reads from a stream may be slow.

use crate::output::files::Target;
use gmtrace_core::report::Report;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A reader that is slow gets the rest for this long after, while nobody waits.
const PATIENCE: Duration = Duration::from_secs(9);

/// What came of it.
#[derive(Debug, Default)]
pub struct Written {
    /// What is there.
    pub files: Vec<String>,
    /// What went wrong, in sentences.
    pub problems: Vec<String>,
}

/// Targets that are being written, each by a thread of its own: one disk that does not answer keeps nothing from the others.
pub struct Writing {
    left: Vec<(Target, Receiver<Result<(), String>>)>,
}

impl Writing {
    /// Begins to write a report.
    pub fn start(targets: Vec<Target>, report: impl FnOnce() -> Report) -> Writing {
        if targets.is_empty() {
            return Writing { left: Vec::new() };
        }
        let report = Arc::new(report());
        let left = targets.into_iter().map(|target| {
            let results = begin(&target, Arc::clone(&report));
            (target, results)
        });
        Writing { left: left.collect() }
    }

    /// Waits until `deadline`. What is not written then may still be: see [`Writing::go_on`].
    pub fn wait(&mut self, deadline: Instant) -> Written {
        let mut written = Written::default();
        self.left.retain(|(target, results)| {
            match results.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(())) => written.files.push(target.to_string()),
                Ok(Err(problem)) => written.problems.push(problem),
                Err(RecvTimeoutError::Disconnected) => {
                    written.problems.push(format!("cannot write {target}"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    written.problems.push(late(target));
                    return true;
                }
            }
            false
        });
        written
    }

    /// Lets a slow reader get the rest, when nobody waits any more.
    pub fn go_on(self) {
        let deadline = Instant::now() + PATIENCE;
        for (_, results) in self.left {
            let left = deadline.saturating_duration_since(Instant::now());
            // Whatever comes of it, nobody is there to be told.
            let _late = results.recv_timeout(left);
        }
    }
}

fn begin(target: &Target, report: Arc<Report>) -> Receiver<Result<(), String>> {
    let (sender, results) = channel();
    let (target, failed) = (target.clone(), sender.clone());
    let name = target.to_string();
    let work = move || {
        let said = target.write(&report).map_err(|e| format!("cannot write {target}: {e:#}"));
        let _late = sender.send(said);
    };
    if let Err(error) = std::thread::Builder::new().name("writing".to_owned()).spawn(work) {
        let _kept = failed.send(Err(format!("cannot write {name}: no thread ({error})")));
    }
    results
}

fn late(target: &Target) -> String {
    if target.is_direct() {
        return format!("{target} was not read within 1 s: its reader has 9 s more for the rest");
    }
    format!(
        "{target} was not written within 1 s: its disk does not answer, or it is a pipe that nobody reads"
    )
}
