//! Nothing of what is looked at changes: no stop, no signal, no descriptor, no byte of its output.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gmtrace::attach::Observer;
use gmtrace::capture::proc::SnapshotWants;
use gmtrace_core::event::{SnapshotCause, What};
use gmtrace_core::units::Pid;
use gmtrace_tests::fixtures::fixture;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::processes::await_that;
use gmtrace_tests::zoo;

/// What each round of busy.go comes to: 8 times the sum of j % 64 for j below 20,000.
const ROUND: &str = "5035904";

struct Busy {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Busy {
    fn start() -> Result<Self> {
        let mut child = Command::new(fixture("busy.go")?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        ensure!(first == "running\n", "{first}");
        Ok(Self { child, lines })
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// All that it printed, on a thread that reads along.
    fn follow(self) -> (Stdin, thread::JoinHandle<Result<Vec<String>>>) {
        let Self { mut child, lines } = self;
        let stdin = child.stdin.take();
        let read = move || -> Result<Vec<String>> {
            let lines = lines.lines().collect::<std::io::Result<Vec<String>>>()?;
            ensure!(child.wait()?.success(), "it failed: {lines:?}");
            Ok(lines)
        };
        (stdin, thread::spawn(read))
    }
}

type Stdin = Option<std::process::ChildStdin>;

/// What must be the same before and after.
fn state(pid: i32) -> Result<BTreeMap<String, String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kept =
        ["TracerPid", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Seccomp", "NoNewPrivs"];
    let mut state: BTreeMap<String, String> = status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| kept.contains(key))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = entry?.path();
        state.insert(path.display().to_string(), fs::read_link(&path)?.display().to_string());
    }
    Ok(state)
}

/// Its state at a moment at which it blocks no signal, and none is pending.
fn quiet(pid: i32) -> Result<BTreeMap<String, String>> {
    let none = "0000000000000000";
    let is_quiet = |state: &BTreeMap<String, String>| {
        ["SigPnd", "ShdPnd", "SigBlk"].iter().all(|key| state.get(*key).is_some_and(|v| v == none))
    };
    await_that("a quiet moment", || state(pid).ok().filter(is_quiet))
}

/// Looks all the time whether it was ever traced or stopped.
fn guard(pid: i32, over: Arc<AtomicBool>) -> thread::JoinHandle<Result<u64>> {
    thread::spawn(move || {
        let mut looks = 0;
        while !over.load(Ordering::Acquire) {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            ensure!(status.contains("\nTracerPid:\t0\n"), "it was traced: {status}");
            ensure!(
                !status.contains("\nState:\tT") && !status.contains("\nState:\tt"),
                "stopped: {status}"
            );
            looks += 1;
            thread::yield_now();
        }
        Ok(looks)
    })
}

#[test]
fn a_thousand_looks_leave_no_trace() -> Result<()> {
    let busy = Busy::start()?;
    let pid = busy.pid();
    let (stdin, output) = busy.follow();
    let before = quiet(pid)?;
    let over = Arc::new(AtomicBool::new(false));
    let guard = guard(pid, Arc::clone(&over));
    for round in 0..1000 {
        let observer = Observer::start(vec![Pid(pid)], Vec::new())?;
        let begun = observer.begin(Duration::from_secs(60)).context("it has ended")?;
        ensure!(begun.root.pid == Pid(pid) && !begun.root.threads.is_empty());
        if round % 10 == 0 {
            let wants = SnapshotWants { scan_machine: true, ..SnapshotWants::default() };
            let events = observer.read(SnapshotCause::Confirm, wants, Duration::from_secs(60));
            let events = events.context("no second reading")?;
            ensure!(events.iter().any(|event| matches!(event.what, What::Snapshot(_))));
        }
    }
    let looked = zoo::gmtrace(["-p", &pid.to_string()])?;
    ensure!(looked.status.success(), "{looked:?}");
    over.store(true, Ordering::Release);
    let looks = guard.join().map_err(|_| anyhow::anyhow!("the guard ended by a panic"))??;
    ensure!(looks > 0, "nobody looked");
    // The runtime sends itself SIGURG, and blocks signals for the moment in which it makes a thread: what is left of a look stays.
    let same = || state(pid).ok().filter(|now| *now == before).map(drop);
    await_that(&format!("{before:?} again, not {:?}", state(pid)?), same)?;
    drop(stdin);
    let lines = output.join().map_err(|_| anyhow::anyhow!("the reader ended by a panic"))??;
    let (last, rounds) = lines.split_last().context("it said nothing")?;
    assert_eq!(last, "0 signals");
    for (n, line) in rounds.iter().enumerate() {
        assert!(line.starts_with(&format!("round {}: ", n + 1)), "{line}");
        assert_eq!(line.split_once(": ").map(|(_, sum)| sum), Some(ROUND), "{line}");
    }
    Ok(())
}

/// What `build` made, and what it said.
fn built(project: &Project, round: u32) -> (GoCommand, PathBuf) {
    let program = project.room().join(format!("program{round}"));
    let path = program.display().to_string();
    // A cache of its own: everything is compiled again.
    let cache = project.room().join(format!("gocache{round}"));
    (project.go(["build", "-trimpath", "-o", &path, "."]).env("GOCACHE", cache), program)
}

#[test]
fn a_thousand_looks_into_busy_builds_leave_no_trace() -> Result<()> {
    let source = "package main\n\nimport _ \"net/http\"\n\nfunc main() {}\n";
    let project = zoo::go()?.project()?.file("main.go", source)?;
    let (build, program) = built(&project, 0);
    let bare = build.run()?.succeeded()?;
    let bare_program = fs::read(program)?;
    let (mut looks, mut round) = (0, 0);
    while looks < 1000 {
        round += 1;
        let (build, program) = built(&project, round);
        let build = build.spawn()?;
        let pid = build.pid();
        let over = Arc::new(AtomicBool::new(false));
        let guard = guard(pid.as_raw(), Arc::clone(&over));
        let before = looks;
        let look = || {
            let observer = Observer::start(vec![Pid(pid.as_raw())], Vec::new()).ok()?;
            observer.begin(Duration::from_secs(60)).filter(|begun| begun.root.state != 'Z')
        };
        while let Some(begun) = look() {
            ensure!(!begun.events.is_empty(), "it was not looked into");
            looks += 1;
        }
        over.store(true, Ordering::Release);
        guard.join().map_err(|_| anyhow::anyhow!("the guard ended by a panic"))??;
        ensure!(looks > before, "it was over before anyone looked");
        let watched = build.wait()?.succeeded()?;
        assert_eq!((&watched.stdout, &watched.stderr), (&bare.stdout, &bare.stderr));
        ensure!(fs::read(program)? == bare_program, "another program came of it");
    }
    println!("{looks} looks into {round} builds");
    Ok(())
}
