//! Scenarios by launch: gmtrace starts the command.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::Answer;
use crate::go::{GoCommand, Running};
use crate::processes::await_that;
use crate::servers::PATIENCE;

/// Starts a command under gmtrace that captures in this way, and speaks up after a second.
///
/// # Errors
/// When it cannot start.
pub fn watch_by(backend: &str, command: GoCommand) -> Result<Watched> {
    watch_by_with(backend, command, ["--stall-after", &stall_after()])
}

/// Starts a command under gmtrace that captures in this way, with these options.
pub(super) fn watch_by_with<S: AsRef<str>>(
    backend: &str,
    command: GoCommand,
    options: impl IntoIterator<Item = S>,
) -> Result<Watched> {
    let options: Vec<String> =
        options.into_iter().map(|option| option.as_ref().to_owned()).collect();
    let threshold = options.iter().skip_while(|option| *option != "--stall-after").nth(1);
    let threshold = threshold.and_then(|after| after.strip_suffix('s')?.parse().ok());
    let by = ["--backend", backend].map(str::to_owned).into_iter();
    let running = command.traced(by.chain(options)).spawn()?;
    Ok(Watched { running, threshold: threshold.map(Duration::from_secs) })
}

/// When gmtrace speaks up: after a second, or what `GMTRACE_ZOO_STALL_AFTER` says for a machine on which a healthy command takes longer
/// to move, such as an emulated one.
pub(super) fn stall_after() -> String {
    std::env::var("GMTRACE_ZOO_STALL_AFTER").unwrap_or_else(|_| "1s".to_owned())
}

/// A command that runs under gmtrace.
#[derive(Debug)]
pub struct Watched {
    running: Running,
    threshold: Option<Duration>,
}

impl Watched {
    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// gmtrace's process id.
    pub fn pid(&self) -> Pid {
        self.running.pid()
    }

    /// After how long it speaks up, where it was told in seconds.
    pub(super) fn threshold(&self) -> Option<Duration> {
        self.threshold
    }

    /// The command's process id, once it has one: the child of the tracer, which is the child of gmtrace.
    ///
    /// # Errors
    /// When gmtrace starts none.
    pub fn command(&self) -> Result<Pid> {
        let child_of = |pid: &str| {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            children.split_whitespace().next().map(str::to_owned)
        };
        let front = self.pid().to_string();
        let find = || child_of(&child_of(&front)?)?.parse().ok();
        Ok(Pid::from_raw(await_that("the command runs", find)?))
    }

    /// Waits until gmtrace has said that the command stalls, and gives what it said then. A file tells nobody that it has been
    /// written, so it is looked for again and again.
    ///
    /// # Errors
    /// When the command ends first, or nothing is said for long; what there is, is in the error.
    pub fn stalls(&self) -> Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let stderr = self.running.stderr()?;
            if let Ok(text) = fs::read_to_string(self.running.timeline()) {
                let answer = Answer::new(&text, stderr)?;
                ensure!(answer.timeline["complete"] == false, "it has ended:\n{answer:#}");
                answer.note()?;
                return Ok(answer);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("no stall was told within {PATIENCE:?}: {}", self.running.stderr()?)
    }

    /// Waits until `text` stands in the first finding of what gmtrace has said. The message comes before the file.
    pub(super) fn wait_for_verdict(&self, text: &str) -> Result<()> {
        self.running.wait_for_stderr(text)?;
        await_that("the timeline says it too", || {
            let timeline = fs::read_to_string(self.running.timeline()).ok()?;
            let timeline: serde_json::Value = serde_json::from_str(&timeline).ok()?;
            timeline["findings"][0].to_string().contains(text).then_some(())
        })
    }

    /// Types at the command's terminal.
    ///
    /// # Errors
    /// When it has none.
    pub fn types(&self, keys: &str) -> Result<()> {
        self.running.types(keys)
    }

    /// Waits until the command's terminal no longer shows what is typed.
    ///
    /// # Errors
    /// As [`Running::wait_for_secret`].
    pub fn wait_for_secret(&self) -> Result<()> {
        self.running.wait_for_secret()
    }

    /// What gmtrace has said so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stderr(&self) -> Result<String> {
        self.running.stderr()
    }

    /// Waits until `text` stands in what was said.
    ///
    /// # Errors
    /// As [`Running::wait_for_stderr`].
    pub fn wait_for_stderr(&self, text: &str) -> Result<String> {
        self.running.wait_for_stderr(text)
    }

    /// Ends the command as a person would, by a signal to gmtrace, and gives the last answer.
    ///
    /// # Errors
    /// When it does not end by that signal, or the files do not hold what they promise.
    pub fn stop(self) -> Result<Answer> {
        self.running.signal(Signal::SIGTERM)?;
        let finished = self.running.wait()?;
        ensure!(!finished.status.success(), "it ended well: {}", finished.stderr);
        Answer::of(&finished)
    }

    /// Waits for its end, which must be one in failure, and gives the last answer.
    ///
    /// # Errors
    /// When it ends well, or the files do not hold what they promise.
    pub fn fails(self) -> Result<Answer> {
        let finished = self.running.wait()?;
        ensure!(!finished.status.success(), "it ended well: {}", finished.stderr);
        Answer::of(&finished)
    }

    /// Waits for its end, which must be a good one, and gives the last answer.
    ///
    /// # Errors
    /// When it fails, or the files do not hold what they promise.
    pub fn succeeds(self) -> Result<Answer> {
        Answer::of(&self.running.wait()?.succeeded()?)
    }
}
