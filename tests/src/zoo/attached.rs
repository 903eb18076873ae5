//! Scenarios by attach: the command is started alone, and gmtrace comes when it hangs already.

use std::fs;
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::Answer;
use crate::go::{Finished, GoCommand, Running};
use crate::processes;

/// Starts a command, without gmtrace.
///
/// # Errors
/// When it cannot start.
pub fn hang(command: GoCommand) -> Result<Hung> {
    Ok(Hung(command.spawn()?))
}

/// A command that runs by itself.
#[derive(Debug)]
pub struct Hung(Running);

impl Hung {
    pub(super) fn running(&self) -> &Running {
        &self.0
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.0.pid()
    }

    /// `gmtrace -p` of it: the answer, checked against the schemas and rendered again from its recording.
    ///
    /// # Errors
    /// When gmtrace fails, or what it wrote does not hold.
    pub fn look(&self) -> Result<Answer> {
        look(&[self.pid()])
    }

    /// Waits for its end, which must be one in failure.
    ///
    /// # Errors
    /// When it ends well.
    pub fn fails(self) -> Result<()> {
        let finished = self.0.wait()?;
        ensure!(!finished.status.success(), "it ended well: {}", finished.stderr);
        Ok(())
    }

    /// Types at its terminal.
    ///
    /// # Errors
    /// When it has none.
    pub fn types(&self, keys: &str) -> Result<()> {
        self.0.types(keys)
    }

    /// Waits until its terminal no longer shows what is typed.
    ///
    /// # Errors
    /// As [`Running::wait_for_secret`].
    pub fn wait_for_secret(&self) -> Result<()> {
        self.0.wait_for_secret()
    }

    /// Lets it end, which must be a good end.
    ///
    /// # Errors
    /// When it fails.
    pub fn succeeds(self) -> Result<()> {
        self.0.wait()?.succeeded().map(drop)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.0.signal(signal)
    }

    /// Ends it, and gives what it left.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub fn end(self) -> Result<Finished> {
        self.0.kill()
    }
}

/// `gmtrace -p` of some processes, once they have come to rest, with a timeline and a recording.
///
/// # Errors
/// As [`Hung::look`].
pub fn look(pids: &[Pid]) -> Result<Answer> {
    look_for(pids).map(|(answer, _)| answer)
}

/// The same, and how long it took from the start of gmtrace.
pub(super) fn look_for(pids: &[Pid]) -> Result<(Answer, Duration)> {
    pids.iter().for_each(|pid| processes::settle(pid.as_raw()));
    Look::at(pids)?.answer()
}

/// `gmtrace -p` of what does not rest; none where it has ended before anything could be seen.
pub(super) fn look_while_alive(hung: &Hung) -> Result<Option<(Answer, Duration)>> {
    if hung.0.has_ended() {
        return Ok(None);
    }
    let look = Look::at(&[hung.pid()])?;
    match look.status.success() || !hung.0.has_ended() {
        true => look.answer().map(Some),
        false => Ok(None),
    }
}

/// A run of `gmtrace -p`, and what it left.
struct Look {
    status: ExitStatus,
    stdout: String,
    stderr: String,
    timeline: Option<String>,
    recording: Option<String>,
    took: Duration,
}

impl Look {
    fn at(pids: &[Pid]) -> Result<Self> {
        let room = tempfile::tempdir()?;
        let (timeline, recording) = (room.path().join("run.json"), room.path().join("run.jsonl"));
        let pids = pids.iter().map(Pid::to_string).collect::<Vec<_>>().join(",");
        let mut command = Command::new(crate::go::gmtrace()?);
        command.args(["-p", &pids, "-o"]).arg(&timeline).arg("-o").arg(&recording);
        let began = Instant::now();
        let output = command.output()?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self {
            status: output.status,
            stdout: said(&output.stdout),
            stderr: said(&output.stderr),
            timeline: fs::read_to_string(timeline).ok(),
            recording: fs::read_to_string(recording).ok(),
            took: began.elapsed(),
        })
    }

    fn answer(self) -> Result<(Answer, Duration)> {
        let Self { status, stdout, stderr, timeline, recording, took } = self;
        ensure!(status.success(), "gmtrace -p: {status}{stderr}");
        let said = stdout.clone();
        let mut answer = Answer::of(&Finished { status, stdout, stderr, timeline, recording })?;
        ensure!(answer.timeline["mode"] == "attach", "mode {}", answer.timeline["mode"]);
        answer.stderr = said;
        Ok((answer, took))
    }
}

/// gmtrace with these words, and nothing else.
///
/// # Errors
/// When it cannot start.
pub fn gmtrace<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<Output> {
    let mut command = Command::new(crate::go::gmtrace()?);
    for word in words {
        command.arg(word.as_ref());
    }
    command.env_remove("GMTRACE_STALL_AFTER").output().context("gmtrace")
}
