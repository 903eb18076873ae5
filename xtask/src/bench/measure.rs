//! Runs the work under each column, in turn.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::workspace::progress;

use super::Options;
use super::columns::{Column, Record, timeline};
use super::environment::Environment;
use super::memory;
use super::results::{Measured, RowResult, Run};
use super::rows::{Prepared, Row};

/// Lets processes that outlive their parents become children of this one, so that a run is over
/// only when everything it started is.
pub(super) fn adopt_orphans() -> Result<()> {
    set_child_subreaper(true).context("PR_SET_CHILD_SUBREAPER")
}

/// Measures one row: memory in runs of their own, then the interleaved blocks.
pub(super) fn row(
    row: Row,
    prepared: &Prepared,
    columns: &[Column],
    environment: &Environment,
    options: &Options,
) -> Result<RowResult> {
    let bench = Bench { prepared, environment };
    let mut measured = Vec::new();
    // The bare command comes first here, and so fills the caches that every later run finds warm.
    for column in columns {
        progress(format!("{}: memory and stops of {}", row.name(), column.name));
        let (peak_memory, stops) = bench.counted(column)?;
        measured.push(Measured::new(column.name, peak_memory, stops));
    }
    let blocks = row.blocks(options.blocks);
    for block in 1..=blocks {
        progress(format!("{}: block {block} of {blocks}", row.name()));
        let forth = 0..columns.len();
        for index in forth.clone().chain(forth.rev()) {
            let (Some(column), Some(found)) = (columns.get(index), measured.get_mut(index)) else {
                continue;
            };
            found.runs.push(bench.timed(column)?);
        }
    }
    Ok(RowResult::new(row.name(), measured, options.seed))
}

/// CPU time of all children that have been waited for, and of those that they have waited for (getrusage(2)).
fn cpu_of_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let used = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(u64::try_from(used.num_microseconds())?))
}

struct Bench<'a> {
    prepared: &'a Prepared,
    environment: &'a Environment,
}

impl Bench<'_> {
    /// One run with the clock on, from just before it is started to the moment it is reaped.
    fn timed(&self, column: &Column) -> Result<Run> {
        let mut command = self.ready(column, self.events())?;
        let companion = column.companion(&self.recording()).map(|words| self.start_beside(&words));
        let companion = companion.transpose()?;
        let before = cpu_of_children()?;
        let started = Instant::now();
        let ended = start(&mut command)?.wait()?;
        let took = started.elapsed();
        companion.map_or(Ok(()), Companion::end)?;
        // The command is no child of gmtrace's front, and what gmtrace tidies up it does when the front has ended.
        self.reap_orphans()?;
        let cpu = cpu_of_children()?.saturating_sub(before);
        let events = column.events(&self.recording(), self.events());
        Ok(Run {
            seconds: took.as_secs_f64(),
            cpu: cpu.as_secs_f64(),
            status: ended,
            said: self.said(ended),
            cache_files: count_files(&self.environment.module_cache())?,
            events: events.map_err(|error| format!("{error:#}")),
        })
    }

    /// What a timed run writes.
    fn events(&self) -> Record {
        if self.prepared.brief { Record::Nothing } else { Record::Events }
    }

    /// One run with the clock off: the most memory that the tool's own processes held, in bytes, and
    /// how often it stopped the command.
    fn counted(&self, column: &Column) -> Result<(Option<u64>, Option<u64>)> {
        let alone = column.companion(&self.recording()).is_some() || self.prepared.brief;
        let Some(tool) = column.tool().filter(|_| !alone) else {
            start(&mut self.ready(column, self.events())?)?.wait()?;
            self.reap_orphans()?;
            return Ok((None, None));
        };
        let mut child = start(&mut self.ready(column, Record::Stops)?)?;
        let peak = memory::peak(&mut child, tool)?;
        let ended = child.wait()?;
        self.reap_orphans()?;
        let said = self.said(ended).unwrap_or_default();
        ensure!(ended.success(), "{}: {ended}: {said}", column.name);
        Ok((peak, column.stops(&self.recording())?))
    }

    /// The command of one run; what an earlier run left is removed.
    fn ready(&self, column: &Column, record: Record) -> Result<Command> {
        let recording = self.recording();
        remove(fs::remove_file(&recording))?;
        remove(fs::remove_file(timeline(&recording)))?;
        if self.prepared.fresh_cache {
            remove(fs::remove_dir_all(self.environment.module_cache()))?;
        }
        let words = column.command(&self.prepared.words, &recording, record);
        let (program, arguments) = words.split_first().context("a column without words")?;
        let mut command = self.environment.command(Path::new(program));
        command.args(arguments).current_dir(&self.prepared.folder);
        command.envs(self.prepared.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(self.stderr())?);
        Ok(command)
    }

    /// Starts what runs beside the work, and waits until its sleeper sleeps: by then the tool is attached.
    fn start_beside(&self, words: &[OsString]) -> Result<Companion> {
        let (program, arguments) = words.split_first().context("a tool without words")?;
        let mut command = self.environment.command(Path::new(program));
        command.args(arguments).current_dir(&self.prepared.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut tool = start(&mut command)?;
        loop {
            if let Some(sleeper) = memory::asleep_below(tool.id(), "sleep") {
                return Ok(Companion { tool, sleeper });
            }
            let ended = tool.try_wait()?;
            ensure!(ended.is_none(), "{}: {ended:?}", Path::new(program).display());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn recording(&self) -> std::path::PathBuf {
        self.environment.folder().join("recording.jsonl")
    }

    fn stderr(&self) -> std::path::PathBuf {
        self.environment.folder().join("stderr")
    }

    /// What a run that failed said on standard error.
    fn said(&self, status: ExitStatus) -> Option<String> {
        let said =
            || String::from_utf8_lossy(&fs::read(self.stderr()).ok()?).trim().to_owned().into();
        if status.success() { None } else { said() }
    }

    /// Waits for what a run left behind, but for the row's own server.
    fn reap_orphans(&self) -> Result<()> {
        let server = self.prepared.server.as_ref().map(super::server::Server::pid);
        loop {
            let children = memory::children(std::process::id());
            let Some(orphan) = children.into_iter().find(|child| Some(*child) != server) else {
                return Ok(());
            };
            waitpid(Pid::from_raw(i32::try_from(orphan)?), None)?;
        }
    }
}

/// A tool that watches something else than the work.
struct Companion {
    tool: Child,
    sleeper: u32,
}

impl Companion {
    /// The tool ends with what it watches.
    fn end(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.sleeper)?), Signal::SIGTERM)?;
        self.tool.wait()?;
        Ok(())
    }
}

fn start(command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_owned();
    command.spawn().with_context(|| format!("cannot run {}", program.display()))
}

/// Nothing to remove is fine.
fn remove(removed: std::io::Result<()>) -> Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn count_files(folder: &Path) -> Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries.with_context(|| format!("{}", folder.display()))?,
    };
    let mut count = 0;
    for entry in entries {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

/// How many events the runs of a column wrote, for the table.
pub(super) fn typical_events(runs: &[Run]) -> Option<u64> {
    let mut counts: Vec<u64> = runs.iter().filter_map(|run| *run.events.as_ref().ok()?).collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied()
}
