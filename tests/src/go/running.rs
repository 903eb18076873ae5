//! A command that runs.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Finished;
use crate::processes::await_that;

/// A command that runs, or has ended and not been looked at yet. When it is dropped, what is left of its process group is
/// killed; the zombie of the leader is kept until then, so that the number of the group cannot have gone to somebody else.
#[derive(Debug)]
pub struct Running {
    child: Child,
    reaped: bool,
    ended: Receiver<()>,
    run: TempDir,
    keyboard: Option<File>,
    _room: Arc<TempDir>,
}

impl Running {
    /// How long a command that is to end may take.
    pub const LIMIT: Duration = Duration::from_secs(180);

    pub(super) fn new(
        child: Child,
        run: TempDir,
        room: Arc<TempDir>,
        keyboard: Option<File>,
    ) -> Self {
        let (tell, ended) = channel();
        let id = pid(&child);
        thread::spawn(move || {
            // WNOWAIT leaves the zombie. There is nobody to tell when the command has been dropped.
            let _ = waitid(Id::Pid(id), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            let _ = tell.send(());
        });
        Self { child, reaped: false, ended, run, keyboard, _room: room }
    }

    /// The process: of gmtrace when the command is traced, of the command otherwise.
    pub fn pid(&self) -> Pid {
        pid(&self.child)
    }

    /// Sends a signal to that process alone.
    ///
    /// # Errors
    /// When it is not allowed.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.pid(), signal)?)
    }

    /// Types at its terminal.
    ///
    /// # Errors
    /// When it has none.
    pub fn types(&self, keys: &str) -> Result<()> {
        let mut keyboard = self.keyboard.as_ref().context("it has no terminal")?;
        Ok(keyboard.write_all(keys.as_bytes())?)
    }

    /// Waits until its terminal no longer shows what is typed: a secret is asked for. What was typed before that is thrown away
    /// (termios(3), TCSAFLUSH).
    ///
    /// # Errors
    /// When it has no terminal, or nobody asks.
    pub fn wait_for_secret(&self) -> Result<()> {
        let keyboard = self.keyboard.as_ref().context("it has no terminal")?;
        await_that("a secret is asked for", || {
            let settings = tcgetattr(keyboard).ok()?;
            (!settings.local_flags.contains(LocalFlags::ECHO)).then_some(())
        })
    }

    /// Waits for its end without ending what it left behind in its process group: that lives on until this is dropped.
    ///
    /// # Errors
    /// When it has not ended within [`Running::LIMIT`]; what it wrote is in the error.
    pub fn wait_for_end(&self) -> Result<()> {
        if self.ended.recv_timeout(Self::LIMIT).is_err() && !self.has_ended() {
            let (out, err) = (self.written("stdout")?, self.written("stderr")?);
            bail!("not ended after {:?}: {out}{err}", Self::LIMIT);
        }
        Ok(())
    }

    /// Waits for its end, and ends what it left behind.
    ///
    /// # Errors
    /// As [`Running::wait_for_end`].
    pub fn wait(self) -> Result<Finished> {
        self.wait_for_end()?;
        self.kill()
    }

    /// Ends it and its process group by SIGKILL.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub fn kill(mut self) -> Result<Finished> {
        kill_group(self.pid());
        self.look()
    }

    /// What it has written to standard output so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stdout(&self) -> Result<String> {
        self.written("stdout")
    }

    /// What it has written to standard error so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stderr(&self) -> Result<String> {
        self.written("stderr")
    }

    /// Waits until `text` stands in what it wrote to standard error, and gives all of that. A file tells nobody that it has
    /// grown, so it is read again and again.
    ///
    /// # Errors
    /// When it has not come within [`Running::LIMIT`].
    pub fn wait_for_stderr(&self, text: &str) -> Result<String> {
        let deadline = Instant::now() + Self::LIMIT;
        while Instant::now() < deadline {
            let written = self.stderr()?;
            if written.contains(text) {
                return Ok(written);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!(
            "waited {:?} for {text:?} on standard error; there is {}",
            Self::LIMIT,
            self.stderr()?
        )
    }

    /// Where gmtrace writes its timeline.
    pub fn timeline(&self) -> PathBuf {
        self.run.path().join("run.json")
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        !matches!(waitid(Id::Pid(self.pid()), flags), Ok(WaitStatus::StillAlive))
    }

    fn look(&mut self) -> Result<Finished> {
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(Finished {
            status,
            stdout: self.written("stdout")?,
            stderr: self.written("stderr")?,
            timeline: fs::read_to_string(self.timeline()).ok(),
            recording: fs::read_to_string(self.run.path().join("run.jsonl")).ok(),
        })
    }

    fn written(&self, name: &str) -> Result<String> {
        let bytes = fs::read(self.run.path().join(name))
            .with_context(|| format!("the command's {name}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `kill` the leader has been reaped, and its number is no longer ours.
        if !self.reaped {
            kill_group(self.pid());
            let _ = self.child.wait();
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn kill_group(leader: Pid) {
    // ESRCH: there is nobody left, which is what is wanted; or setsid(1) has not made the group yet.
    let _ = killpg(leader, Signal::SIGKILL);
    let _ = kill(leader, Signal::SIGKILL);
}
