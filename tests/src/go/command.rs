//! A command to be run: bare, or under gmtrace.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Project, Running, toolchain};
use crate::servers::TestCa;
use crate::terminal;

/// A command with its environment. Until told otherwise, it may use no module proxy and no checksum database, so that nothing
/// leaves the machine by mistake.
#[derive(Debug)]
pub struct GoCommand {
    program: PathBuf,
    arguments: Vec<String>,
    directory: PathBuf,
    room: Arc<TempDir>,
    environment: Vec<(OsString, OsString)>,
    gmtrace: Option<Vec<String>>,
    terminal: bool,
}

impl GoCommand {
    pub(super) fn new(project: &Project, program: &Path, arguments: Vec<String>) -> Self {
        let room = project.room();
        let command = Self {
            program: program.to_owned(),
            arguments,
            directory: project.directory(),
            environment: Vec::new(),
            gmtrace: None,
            terminal: false,
            room: project.hold(),
        };
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", project.home())
            .env("GOPATH", room.join("gopath"))
            .env("GOMODCACHE", project.modcache())
            .env("GOCACHE", room.join("gocache"))
            // -modcacherw, because the directory has to be removed by an ordinary user.
            .env("GOFLAGS", "-mod=mod -modcacherw")
            .env("GOTOOLCHAIN", "local")
            .env("GOPROXY", "off")
            .env("GOSUMDB", "off")
            .env("GMTRACE_STATE", "off")
            // Root gets eBPF by default.
            .env("GMTRACE_BACKEND", "ptrace")
    }

    /// GOPROXY.
    #[must_use]
    pub fn proxy(self, list: &str) -> Self {
        self.env("GOPROXY", list)
    }

    /// GOSUMDB, as [`crate::servers::SumDb::gosumdb`] makes it.
    #[must_use]
    pub fn sumdb(self, value: &str) -> Self {
        self.env("GOSUMDB", value)
    }

    /// Trusts this authority and no other, go and git alike.
    #[must_use]
    pub fn trust(self, ca: &TestCa) -> Self {
        self.env("SSL_CERT_FILE", ca.file())
            .env("SSL_CERT_DIR", ca.directory())
            .env("GIT_SSL_CAINFO", ca.file())
    }

    /// HTTPS_PROXY and HTTP_PROXY.
    #[must_use]
    pub fn web_proxy(self, url: &str) -> Self {
        self.env("HTTPS_PROXY", url).env("HTTP_PROXY", url)
    }

    /// Any variable; the last value holds.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs it in this directory.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// Runs it under gmtrace with these options, besides `-o` for a timeline and a recording.
    #[must_use]
    pub fn traced<S: AsRef<str>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.gmtrace = Some(options.into_iter().map(|option| option.as_ref().to_owned()).collect());
        self
    }

    /// Gives it a terminal of its own to ask questions at, as `/dev/tty`.
    #[must_use]
    pub fn at_a_terminal(mut self) -> Self {
        self.terminal = true;
        self
    }

    /// Starts it, in a process group of its own, with nothing to read and its output going to files.
    ///
    /// # Errors
    /// When the program, or gmtrace, is not there.
    pub fn spawn(self) -> Result<Running> {
        let run = tempfile::Builder::new().prefix("run-").tempdir_in(self.room.path())?;
        let mut command = self.command_line(run.path())?;
        command.current_dir(&self.directory).env_clear().envs(self.environment);
        let keyboard = match self.terminal {
            // setsid(1) makes a group by itself; the leader of one would have to fork for that.
            true => {
                let (keyboard, terminal) = terminal::pair()?;
                command.stdin(terminal);
                Some(keyboard)
            }
            false => {
                command.process_group(0).stdin(Stdio::null());
                None
            }
        };
        command.stdout(File::create(run.path().join("stdout"))?);
        command.stderr(File::create(run.path().join("stderr"))?);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Running::new(child, run, self.room, keyboard))
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot start, or does not end within [`Running::LIMIT`].
    pub fn run(self) -> Result<Finished> {
        self.spawn()?.wait()
    }

    fn command_line(&self, run: &Path) -> Result<Command> {
        let begin = |program: &Path| {
            if !self.terminal {
                return Command::new(program);
            }
            let mut command = Command::new("setsid");
            command.arg("--ctty").arg(program);
            command
        };
        let Some(options) = &self.gmtrace else {
            let mut command = begin(&self.program);
            command.args(&self.arguments);
            return Ok(command);
        };
        let mut command = begin(&toolchain::gmtrace()?);
        command
            .args(options)
            .arg("-o")
            .arg(run.join("run.json"))
            .arg("-o")
            .arg(run.join("run.jsonl"));
        command.arg("--").arg(&self.program).args(&self.arguments);
        Ok(command)
    }
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// gmtrace's timeline (`run.json`), when it wrote one.
    pub timeline: Option<String>,
    /// gmtrace's recording (`run.jsonl`), when it wrote one.
    pub recording: Option<String>,
}

impl Finished {
    /// Itself, if the command ended well.
    ///
    /// # Errors
    /// When it did not; the error shows what it wrote.
    pub fn succeeded(self) -> Result<Self> {
        anyhow::ensure!(self.status.success(), "{}: {}{}", self.status, self.stdout, self.stderr);
        Ok(self)
    }

    /// Itself, if the command failed and `text` is in what it wrote to standard error.
    ///
    /// # Errors
    /// When it ended well, or said something else.
    pub fn failed_saying(self, text: &str) -> Result<Self> {
        let right = !self.status.success() && self.stderr.contains(text);
        anyhow::ensure!(
            right,
            "no failure with {text:?}, but {}: {}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }
}
