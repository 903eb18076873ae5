//! Who of a launch is still there: processes are known by a marker variable in their environment.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// No wait of a test is longer; it is an error to reach it, never a measurement.
pub const BOUND: Duration = Duration::from_secs(60);

/// The variable that everything a launch starts carries.
pub const MARKER: &str = "HARD_CASE_MARKER";

/// A process as /proc shows it (proc(5), `stat`).
#[derive(Debug, Clone)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Parent's process id.
    pub parent: i32,
    /// `R`, `S`, `D`, `T`, `t`, ...
    pub state: char,
    /// First letters of the program's name.
    pub name: String,
}

/// Reads one process; none when it is gone.
pub fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(") ")?;
    let mut words = tail.split(' ');
    Some(Process {
        pid,
        state: words.next()?.chars().next()?,
        parent: words.next()?.parse().ok()?,
        name: head.split_once('(')?.1.to_owned(),
    })
}

fn all_pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The living processes that carry the marker. A zombie has no environment, and is not counted.
pub fn marked(marker: &str) -> Vec<Process> {
    let wanted = format!("{MARKER}={marker}");
    let carries = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
            environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
    };
    all_pids().into_iter().filter(carries).filter_map(process).collect()
}

/// After gmtrace's front was killed: waits until the command is gone, and ends what it had started, which lives on as it would
/// have without gmtrace.
///
/// # Errors
/// When the command lives on.
pub fn end_what_lives_on(marker: &str) -> Result<()> {
    await_that("the command is gone", || {
        let alive = marked(marker);
        let tracer = alive.iter().find(|process| process.name == "gmtrace");
        let command = tracer.is_some_and(|tracer| alive.iter().any(|p| p.parent == tracer.pid));
        (!command).then_some(())
    })?;
    for process in marked(marker).iter().filter(|process| process.name != "gmtrace") {
        // It may have ended by itself.
        let _gone = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
    }
    Ok(())
}

/// The children of a process.
pub fn children(pid: i32) -> Vec<Process> {
    all_pids().into_iter().filter_map(process).filter(|process| process.parent == pid).collect()
}

/// A field of `/proc/PID/status`, such as `TracerPid`.
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Polls until something is true or there.
///
/// # Errors
/// After `BOUND`, with what was awaited.
pub fn await_that<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let begin = Instant::now();
    while begin.elapsed() < BOUND {
        if let Some(found) = look() {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("{what}: still not so after {BOUND:?}")
}

/// A set of signals in `/proc/PID/status`; empty when the process is gone.
fn signal_set(pid: i32, field: &str) -> u64 {
    status_field(pid, field).and_then(|set| u64::from_str_radix(&set, 16).ok()).unwrap_or(0)
}

/// Asleep or stopped, with no signal to be delivered. A pending one that is blocked does not count: bash waits for a job with
/// SIGCHLD blocked.
fn is_quiet(process: &Process) -> bool {
    let pending = signal_set(process.pid, "SigPnd") | signal_set(process.pid, "ShdPnd");
    "ST".contains(process.state) && pending & !signal_set(process.pid, "SigBlk") == 0
}

/// Waits until every process of a launch is quiet: what was sent has arrived.
///
/// # Errors
/// After `BOUND`, with who is not.
pub fn await_quiet(marker: &str) -> Result<()> {
    // Twice, because a process that is woken by the last one looked at may have been looked at before.
    let waited = await_that("every process sleeps", || {
        let look = || marked(marker).iter().all(is_quiet);
        (look() && look()).then_some(())
    });
    waited.map_err(|error| error.context(format!("awake: {:?}", marked(marker))))
}

/// Waits until nobody of a launch is left.
///
/// # Errors
/// Names who is left, and ends them, so that one failing test leaves nothing to the others.
pub fn nobody_left(marker: &str) -> Result<()> {
    let gone = await_that("nobody is left behind", || marked(marker).is_empty().then_some(()));
    gone.map_err(|error| error.context(format!("left behind: {:?}", end_all(marker))))
}

/// Kills every process of a launch and says who they were.
pub fn end_all(marker: &str) -> Vec<Process> {
    let left = marked(marker);
    for process in &left {
        // One that ended by itself meanwhile is no error.
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
    }
    left
}
