//! Launches a fixture bare and under gmtrace, and compares the two.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::fixtures::{fixture, gmtrace};
use crate::processes::{BOUND, MARKER, Process, end_all, marked, nobody_left};
use crate::recording::Recording;

/// Under gmtrace, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The command alone.
    Bare,
    /// `gmtrace -q -o RECORDING -- COMMAND`.
    Traced,
}

/// Both ways, the bare one first.
pub const BOTH: [How; 2] = [How::Bare, How::Traced];

/// How often a storm is repeated: `few` times, or `many` with `GMTRACE_STRESS=1`; with `GMTRACE_STRESS=0`, on a machine that is emulated,
/// a hundredth of `few`.
pub fn rounds(few: u32, many: u32) -> u32 {
    match std::env::var("GMTRACE_STRESS").as_deref() {
        Ok("1") => many,
        Ok("0") => few.div_ceil(100),
        _ => few,
    }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A command, and the circumstances in which it is started.
#[derive(Debug)]
pub struct Launch {
    command: Vec<OsString>,
    circumstances: Vec<String>,
    options: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    input: Vec<u8>,
    room: TempDir,
    marker: String,
    tracer: Option<PathBuf>,
}

impl Launch {
    /// A fixture of `tests/fixtures`.
    ///
    /// # Errors
    /// Where it cannot be built.
    pub fn fixture(name: &str) -> Result<Self> {
        Self::command([fixture(name)?])
    }

    /// Any command.
    ///
    /// # Errors
    /// Where there is no place for its files.
    pub fn command<I: Into<OsString>>(words: impl IntoIterator<Item = I>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Ok(Self {
            command: words.into_iter().map(Into::into).collect(),
            circumstances: Vec::new(),
            options: Some(Vec::new()),
            environment: Vec::new(),
            input: Vec::new(),
            room: tempfile::Builder::new().prefix("hard-case-").tempdir()?,
            marker: format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
            tracer: None,
        })
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, word: impl Into<OsString>) -> Self {
        self.command.push(word.into());
        self
    }

    /// A circumstance of `fixtures/begin_with.c`, which starts gmtrace or the command in it.
    #[must_use]
    pub fn given(mut self, circumstance: impl Into<String>) -> Self {
        self.circumstances.push(circumstance.into());
        self
    }

    /// A further option of gmtrace.
    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.options.get_or_insert_default().push(option.into());
        self
    }

    /// Without `-q` and `-o`: as a person starts it.
    #[must_use]
    pub fn plainly(mut self) -> Self {
        self.options = None;
        self
    }

    /// A variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// What the command reads.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// As the user nobody, where the tests run as root; with copies of the programs in a place that nobody can reach.
    ///
    /// # Errors
    /// Where they cannot be copied.
    pub fn as_nobody(mut self) -> Result<Self> {
        if !is_root() {
            return Ok(self);
        }
        fs::set_permissions(self.room.path(), fs::Permissions::from_mode(0o777))?;
        self.tracer = Some(self.copy(&gmtrace()?)?);
        if let Some(program) =
            self.command.first().map(PathBuf::from).filter(|path| path.is_absolute())
        {
            self.command[0] = self.copy(&program)?.into();
        }
        self.circumstances.push("user=65534".to_owned());
        Ok(self)
    }

    /// A copy in the room, by cp(1): a file that this process itself has open for writing while another thread of it forks
    /// could not be executed (ETXTBSY).
    ///
    /// # Errors
    /// Where it cannot be copied.
    pub fn copy(&self, program: &Path) -> Result<PathBuf> {
        let copy = self.room.path().join(program.file_name().context("a program has a name")?);
        ensure!(Command::new("cp").arg(program).arg(&copy).status()?.success(), "cp {program:?}");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        Ok(copy)
    }

    /// A directory for this launch.
    pub fn room(&self) -> &Path {
        self.room.path()
    }

    /// The value of the marker variable of everything this starts.
    pub fn marker(&self) -> &str {
        &self.marker
    }

    fn recording_path(&self) -> PathBuf {
        self.room.path().join("recording.jsonl")
    }

    /// The whole command line.
    ///
    /// # Errors
    /// Where gmtrace or `begin_with` cannot be built.
    pub fn words(&self, how: How) -> Result<Vec<OsString>> {
        let mut words = Vec::new();
        if !self.circumstances.is_empty() {
            words.push(fixture("begin_with")?.into());
            words.extend(self.circumstances.iter().map(OsString::from));
            words.push("--".into());
        }
        if how == How::Traced {
            words.push(self.tracer.clone().map_or_else(gmtrace, Ok)?.into());
            if let Some(options) = &self.options {
                words.extend(["-q".into(), "-o".into(), self.recording_path().into()]);
                words.extend(options.iter().map(OsString::from));
            }
            words.push("--".into());
        }
        words.extend(self.command.iter().cloned());
        Ok(words)
    }

    /// The command line as a `Command` that carries the marker; descriptors are the caller's.
    ///
    /// # Errors
    /// As `words`.
    pub fn prepare(&self, how: How) -> Result<Command> {
        let words = self.words(how)?;
        let (program, arguments) = words.split_first().context("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).env(MARKER, &self.marker).env("GMTRACE_STATE", "off");
        // Root gets eBPF by default; what is tested by these is ptrace, unless a test, or who runs it, says otherwise.
        if std::env::var_os("GMTRACE_BACKEND").is_none() {
            command.env("GMTRACE_BACKEND", "ptrace");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Runs it to its end; standard input, output and error are files in the room.
    ///
    /// # Errors
    /// Where it cannot be started or does not end.
    pub fn run(&self, how: How) -> Result<Outcome> {
        let path = |name| self.room.path().join(name);
        fs::write(path("stdin"), &self.input)?;
        let mut command = self.prepare(how)?;
        command.stdin(File::open(path("stdin"))?);
        command.stdout(File::create(path("stdout"))?).stderr(File::create(path("stderr"))?);
        let running = Running::spawn(command, &self.marker)?;
        let pid = running.pid();
        let status = running.end()?;
        let recording = (how == How::Traced).then(|| Recording::read(&self.recording_path()));
        Ok(Outcome {
            pid,
            status,
            stdout: fs::read(path("stdout"))?,
            stderr: fs::read(path("stderr"))?,
            recording,
        })
    }

    /// Starts it with pipes for standard input and output; standard error is a file in the room.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(&self, how: How) -> Result<Running> {
        let mut command = self.prepare(how)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(self.room.path().join("stderr"))?);
        Running::spawn(command, &self.marker)
    }

    /// The recording of the last traced run.
    ///
    /// # Errors
    /// Where there is none that is complete.
    pub fn recording(&self) -> Result<Recording> {
        Recording::read(&self.recording_path())
    }

    /// Runs it both ways: same output, same errors, same end, and nobody left behind. Returns the traced one.
    ///
    /// # Errors
    /// Says what differs.
    pub fn runs_alike(&self) -> Result<Outcome> {
        let bare = self.run(How::Bare)?;
        nobody_left(&self.marker).context("bare")?;
        let traced = self.run(How::Traced)?;
        nobody_left(&self.marker).context("under gmtrace")?;
        traced.is_like(&bare)?;
        Ok(traced)
    }
}

impl Drop for Launch {
    /// A test that fails half way leaves nobody behind.
    fn drop(&mut self) {
        end_all(&self.marker);
    }
}

/// What came of a launch.
#[derive(Debug)]
pub struct Outcome {
    /// What was started: the command itself, or the front of gmtrace.
    pub pid: i32,
    /// As waitpid gave it.
    pub status: ExitStatus,
    /// Standard output, every byte.
    pub stdout: Vec<u8>,
    /// Standard error, every byte.
    pub stderr: Vec<u8>,
    recording: Option<Result<Recording>>,
}

impl Outcome {
    /// What gmtrace recorded.
    ///
    /// # Errors
    /// Where it was not traced, or the recording is not complete.
    pub fn recording(self) -> Result<Recording> {
        self.recording.context("nothing is recorded of a bare run")?
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Compares with the bare run.
    ///
    /// # Errors
    /// Says what differs.
    pub fn is_like(&self, bare: &Outcome) -> Result<()> {
        same_text("standard output", &bare.stdout, &self.stdout)?;
        same_text("standard error", &bare.stderr, &self.stderr)?;
        same_end(bare.status, self.status)
    }
}

/// Compares two texts line by line.
///
/// # Errors
/// Shows the lines that differ.
pub fn same_text(what: &str, bare: &[u8], traced: &[u8]) -> Result<()> {
    if bare == traced {
        return Ok(());
    }
    let lines =
        |bytes| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let (bare, traced) = (lines(bare), lines(traced));
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    bail!(
        "{what} differs: only bare {:#?}, only under gmtrace {:#?}",
        only(&bare, &traced),
        only(&traced, &bare)
    )
}

/// Compares two ends: the same code, or the same signal. The core bit is not compared, because gmtrace itself leaves no core.
///
/// # Errors
/// Shows both.
pub fn same_end(bare: ExitStatus, traced: ExitStatus) -> Result<()> {
    let core_bit = !0x80;
    ensure!(
        bare.into_raw() & core_bit == traced.into_raw() & core_bit,
        "bare {bare}, under gmtrace {traced}"
    );
    Ok(())
}

/// A launch that has been started. A watchdog ends it after `BOUND`.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    watchdog: Option<(Sender<()>, JoinHandle<Option<String>>)>,
    marker: String,
}

impl Running {
    /// Starts a prepared command.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn spawn(mut command: Command, marker: &str) -> Result<Self> {
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let (cancel, cancelled) = mpsc::channel();
        let marker = marker.to_owned();
        let hung = marker.clone();
        let watchdog = std::thread::spawn(move || match cancelled.recv_timeout(BOUND) {
            Err(RecvTimeoutError::Timeout) => Some(format!("hangs: {:?}", end_all(&hung))),
            _ => None,
        });
        Ok(Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            child,
            watchdog: Some((cancel, watchdog)),
            marker,
        })
    }

    /// What was started: the command itself, or the front of gmtrace.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Everybody of the launch.
    pub fn processes(&self) -> Vec<Process> {
        marked(&self.marker)
    }

    /// The next line of standard output, without its end; empty at the end of file.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.as_mut().context("no pipe")?.read_line(&mut line)?;
        Ok(line.trim_end_matches('\n').to_owned())
    }

    /// Writes to standard input.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?.write_all(bytes)
    }

    /// Closes standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Where it hangs: who hung, and in which state.
    pub fn end(mut self) -> Result<ExitStatus> {
        self.stdin = None;
        let status = self.child.wait()?;
        match self.dismiss() {
            Some(hang) => bail!("{hang}"),
            None => Ok(status),
        }
    }

    fn dismiss(&mut self) -> Option<String> {
        let (cancel, watchdog) = self.watchdog.take()?;
        drop(cancel);
        watchdog.join().ok().flatten()
    }
}

impl Drop for Running {
    /// A test that fails half way leaves nothing running.
    fn drop(&mut self) {
        if self.watchdog.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            end_all(&self.marker);
            let _ = self.dismiss();
        }
    }
}

/// Sends a signal.
///
/// # Errors
/// As kill(2).
pub fn send(signal: Signal, pid: i32) -> Result<()> {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)
        .with_context(|| format!("{signal} to {pid}"))
}

/// Creates an empty file: fixtures wait for one to be there.
///
/// # Errors
/// As open(2).
pub fn touch(path: impl AsRef<OsStr>) -> Result<()> {
    Ok(fs::write(Path::new(path.as_ref()), b"")?)
}
