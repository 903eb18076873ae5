//! Scenarios by attach: the command is started alone, and gmtrace comes when it hangs already.

use std::fs;
use std::process::{Command, Output};

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

/// `gmtrace -p` of some processes, with a timeline and a recording.
///
/// # Errors
/// As [`Hung::look`].
pub fn look(pids: &[Pid]) -> Result<Answer> {
    pids.iter().for_each(|pid| processes::settle(pid.as_raw()));
    let room = tempfile::tempdir()?;
    let (timeline, recording) = (room.path().join("run.json"), room.path().join("run.jsonl"));
    let pids = pids.iter().map(Pid::to_string).collect::<Vec<_>>().join(",");
    let output = Command::new(crate::go::gmtrace()?)
        .args(["-p", &pids, "-o"])
        .arg(&timeline)
        .arg("-o")
        .arg(&recording)
        .output()?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "gmtrace -p {pids}: {}{}",
        output.status,
        said(&output.stderr)
    );
    let mut answer = Answer::of(&Finished {
        status: output.status,
        stdout: said(&output.stdout),
        stderr: said(&output.stderr),
        timeline: fs::read_to_string(timeline).ok(),
        recording: fs::read_to_string(recording).ok(),
    })?;
    ensure!(answer.timeline["mode"] == "attach", "mode {}", answer.timeline["mode"]);
    answer.stderr = said(&output.stdout);
    Ok(answer)
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
