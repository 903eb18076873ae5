//! What is special about some processes: many goroutines, a program that is deleted, namespaces, programs that are not Go.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use gmtrace::capture::proc::{Proc, SnapshotWants};
use gmtrace_core::event::{Direction, GoRuntime, ProcessState, SnapshotCause};
use gmtrace_core::units::Pid;
use gmtrace_tests::fixtures::{GoBuild, go_fixture};
use gmtrace_tests::go::{Go, Project, Running};
use gmtrace_tests::processes::{await_that, children};

use crate::look::hanging;

/// A program of its own, which is ready.
fn start(project: &Project, program: &Path, arguments: &[&str]) -> Result<Running> {
    let running = project.command(program, arguments.iter().copied()).env("GOGC", "off").spawn()?;
    running.wait_for_stderr("ready")?;
    Ok(running)
}

fn many(readers: usize, idlers: usize) -> Result<GoRuntime> {
    let go = Go::find()?;
    let program = go_fixture(&go, "many_goroutines", GoBuild::Plain)?;
    let (readers, idlers) = (readers.to_string(), idlers.to_string());
    let running = start(&go.project()?, &program, &[&readers, &idlers])?;
    hanging(running.pid().as_raw())
}

#[test]
fn a_thousand_goroutines_wait_for_a_thousand_descriptors() -> Result<()> {
    let read = many(1000, 0)?;
    assert!(read.partial.is_empty(), "{:?}", read.partial);
    let waits: Vec<_> = read.goroutines.iter().filter_map(|g| g.waits_for).collect();
    assert_eq!(waits.len(), 1000);
    assert!(waits.iter().all(|waits| waits.direction == Direction::Read));
    assert_eq!(waits.iter().map(|waits| waits.fd).collect::<HashSet<_>>().len(), 1000);
    Ok(())
}

#[test]
fn of_more_goroutines_than_are_read_the_rest_is_counted() -> Result<()> {
    let read = many(10, 12_000)?;
    assert_eq!(read.goroutines.len(), 10_000);
    assert!(read.total > 12_010, "{}", read.total);
    let [partial] = read.partial.as_slice() else { bail!("{:?}", read.partial) };
    assert!(partial.ends_with("goroutines more were not looked at"), "{partial}");
    Ok(())
}

fn snapshot(pid: i32, goroutines: bool) -> Result<ProcessState> {
    let wants = SnapshotWants { goroutines, ..SnapshotWants::default() };
    let snapshot = Proc::new().snapshot(SnapshotCause::Asked, Pid(pid), &[], &wants);
    let found = snapshot.processes.into_iter().find(|process| process.pid == Pid(pid));
    found.context("the process is not in its snapshot")
}

#[test]
fn a_snapshot_has_them_where_they_are_wanted() -> Result<()> {
    let go = Go::find()?;
    let program = go_fixture(&go, "many_goroutines", GoBuild::Plain)?;
    let running = start(&go.project()?, &program, &["2", "1"])?;
    let pid = running.pid().as_raw();
    let read = hanging(pid)?;
    assert_eq!(snapshot(pid, true)?.go, Some(read));
    assert_eq!(snapshot(pid, false)?.go, None);
    Ok(())
}

#[test]
fn a_program_that_is_not_go_has_none() -> Result<()> {
    let running = Go::find()?.project()?.command(Path::new("/usr/bin/sleep"), ["600"]).spawn()?;
    let pid = running.pid().as_raw();
    await_that("it sleeps", || {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        (exe.file_name()? == "sleep").then_some(())
    })?;
    assert_eq!(snapshot(pid, true)?.go, None);
    Ok(())
}

#[test]
fn a_program_that_was_deleted_is_still_read() -> Result<()> {
    let go = Go::find()?;
    let project = go.project()?;
    let program = project.room().join("deleted");
    fs::copy(go_fixture(&go, "many_goroutines", GoBuild::Plain)?, &program)?;
    let running = start(&project, &program, &["1", "1"])?;
    fs::remove_file(&program)?;
    let read = hanging(running.pid().as_raw())?;
    ensure!(read.goroutines.iter().any(|g| g.is_in("main.main")), "{read:?}");
    Ok(())
}

/// The runtime knows its threads by their ids in there.
#[test]
fn in_a_pid_namespace_threads_have_the_ids_of_outside() -> Result<()> {
    let go = Go::find()?;
    let program = go_fixture(&go, "every_wait", GoBuild::Plain)?;
    let program = program.to_str().context("a path")?;
    let options = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"];
    let project = go.project()?;
    let words = options.iter().copied().chain([program]);
    let command = project.command(Path::new("/usr/bin/unshare"), words).env("GOGC", "off");
    let running = command.spawn()?;
    running.wait_for_stderr("ready")?;
    let children = children(running.pid().as_raw());
    let inside = children.first().context("unshare has no child")?.pid;
    let read = hanging(inside)?;
    let threads: HashSet<i32> = fs::read_dir(format!("/proc/{inside}/task"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?))
        .collect::<Result<_>>()?;
    assert!(read.threads.len() > 2, "{:?}", read.threads);
    assert!(read.threads.iter().all(|thread| threads.contains(&thread.tid.0)), "{threads:?}");
    let in_flock = read.goroutines.iter().find(|g| g.is_in("syscall.Flock"));
    let tid = in_flock.and_then(|g| g.tid).context("nobody is in flock")?;
    let syscall = fs::read_to_string(format!("/proc/{inside}/task/{tid}/syscall"))?;
    assert!(syscall.starts_with("73 "), "{syscall}");
    Ok(())
}
