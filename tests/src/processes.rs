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
        let is_gmtrace = |process: &&Process| process.name == "gmtrace";
        let is_command = |process: &Process| {
            alive.iter().filter(is_gmtrace).any(|tracer| process.parent == tracer.pid)
        };
        if !alive.iter().any(is_command) {
            for process in alive.iter().filter(|process| !is_gmtrace(process)) {
                // It may have ended by itself.
                let _gone = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
        }
        // Until nobody is left: where the front was killed early, the command may only begin now.
        alive.is_empty().then_some(())
    })
}

/// The children of a process.
pub fn children(pid: i32) -> Vec<Process> {
    all_pids().into_iter().filter_map(process).filter(|process| process.parent == pid).collect()
}

/// The process of this name below `pid`, once there is one.
///
/// # Errors
/// When there is none after `BOUND`.
pub fn below(pid: Pid, name: &str) -> Result<Pid> {
    let named = |pid: &i32| process(*pid).is_some_and(|process| process.name == name);
    let find = || descendants(pid.as_raw()).into_iter().find(named);
    await_that(name, find).map(Pid::from_raw)
}

/// Everything below `pid`.
pub fn descendants(pid: i32) -> Vec<i32> {
    children(pid)
        .into_iter()
        .flat_map(|child| [vec![child.pid], descendants(child.pid)].concat())
        .collect()
}

/// Waits until a thread of `pid` sits in read(2) on a file whose name has `part` in it, by `/proc`.
///
/// # Errors
/// When none does within `BOUND`.
pub fn await_read(pid: Pid, part: &str) -> Result<()> {
    let number = nix::libc::SYS_read.to_string();
    await_that(&format!("{pid} reads {part}"), || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let reads = tasks.flatten().any(|task| {
            let call = fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
            let mut words = call.split(' ');
            let fd = words
                .next()
                .filter(|nr| *nr == number)
                .and_then(|_| i32::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok());
            let file = fd.and_then(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok());
            file.is_some_and(|file| file.to_string_lossy().contains(part))
        });
        reads.then_some(())
    })
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

/// A thread that sleeps or is stopped, and how often it has been put off its CPU so far.
type Asleep = (i32, u64);

/// The threads of a process where all are asleep or stopped and no signal is to be delivered. A pending one that is blocked does
/// not count: bash waits for a job with SIGCHLD blocked.
fn asleep(process: &Process) -> Option<Vec<Asleep>> {
    let pending = signal_set(process.pid, "SigPnd") | signal_set(process.pid, "ShdPnd");
    if pending & !signal_set(process.pid, "SigBlk") != 0 {
        return None;
    }
    threads(process.pid).into_iter().map(thread_asleep).collect()
}

fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn thread_asleep(tid: i32) -> Option<Asleep> {
    let sleeps = status_field(tid, "State")?.starts_with(['S', 'T']);
    let switches = |kind| status_field(tid, kind)?.parse::<u64>().ok();
    let off = switches("voluntary_ctxt_switches")? + switches("nonvoluntary_ctxt_switches")?;
    sleeps.then_some((tid, off))
}

/// Waits until every process of a launch is quiet: what was sent has arrived.
///
/// # Errors
/// After `BOUND`, with who is not.
pub fn await_quiet(marker: &str) -> Result<()> {
    let look = || marked(marker).iter().map(asleep).collect::<Option<Vec<_>>>();
    // Who wakes another and sleeps again could be looked at before and after. Whoever sleeps in both looks and was not put off its
    // CPU in between (proc(5), voluntary_ctxt_switches) slept all the time, and at the end of the first look they all did.
    let waited = await_that("every process sleeps", || {
        let first = look()?;
        (look()? == first).then_some(())
    });
    waited.map_err(|error| error.context(format!("awake: {:?}", marked(marker))))
}

/// Gives a process and what runs below it up to two seconds to come to rest, and up to six while one of them runs or would if it had a
/// CPU, for what has just begun to wait still moves on a busy machine. What never rests is looked at as it is.
pub fn settle(pid: i32) {
    let begin = Instant::now();
    let mut before = switches_below(pid);
    let waits = |time: Duration| {
        time < Duration::from_secs(2) || time < Duration::from_secs(6) && runs_below(pid)
    };
    while waits(begin.elapsed()) {
        std::thread::sleep(Duration::from_millis(100));
        let now = switches_below(pid);
        if now == before {
            return;
        }
        before = now;
    }
}

/// Whether a thread of a process, or of those below it, runs or waits for nothing but a CPU.
fn runs_below(pid: i32) -> bool {
    let runs = |tid: i32| status_field(tid, "State").is_some_and(|state| state.starts_with('R'));
    threads(pid).into_iter().any(runs) || children(pid).iter().any(|child| runs_below(child.pid))
}

/// How often the threads of a process, and of those below it, have been put off their CPU.
fn switches_below(pid: i32) -> u64 {
    let count = |tid: i32, kind: &str| status_field(tid, kind)?.parse::<u64>().ok();
    let of_thread = |tid: i32| {
        count(tid, "voluntary_ctxt_switches").unwrap_or(0)
            + count(tid, "nonvoluntary_ctxt_switches").unwrap_or(0)
    };
    let own: u64 = threads(pid).into_iter().map(of_thread).sum();
    own + children(pid).iter().map(|child| switches_below(child.pid)).sum::<u64>()
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
