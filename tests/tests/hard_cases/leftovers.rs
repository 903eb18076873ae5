//! What the command leaves behind lives on unharmed, and holds up nobody.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::fixture;
use gmtrace_tests::harness::{BOTH, How, Launch, send, touch};
use gmtrace_tests::processes::{await_that, nobody_left, process, status_field};
use nix::sys::signal::Signal;

/// The ids that the daemons of a launch printed on standard error, in order.
fn daemons(launch: &Launch) -> Result<Vec<i32>> {
    let printed = fs::read_to_string(launch.room().join("stderr"))?;
    Ok(printed.lines().map(str::parse).collect::<Result<_, _>>()?)
}

fn told_to_go_on(directory: &Path) -> Result<String> {
    touch(directory.join("go"))?;
    await_that("the daemon is done", || fs::read_to_string(directory.join("done")).ok())
}

/// The tracer that serves what was left behind.
fn tracer_of(daemon: i32) -> Result<i32> {
    let tracer = status_field(daemon, "TracerPid").context("the daemon is gone")?.parse()?;
    ensure!(tracer != 0, "nobody traces the daemon");
    Ok(tracer)
}

/// What the descriptors of a process lead to.
fn open_files(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
        .collect()
}

#[test]
fn a_daemon_goes_on_after_gmtrace_has_ended() -> Result<()> {
    for how in BOTH {
        let launch = Launch::fixture("leaves_daemon")?;
        let room = launch.room().to_owned();
        let launch = launch.arg(room.clone());
        assert_eq!(launch.start(how)?.end()?.code(), Some(5), "{how:?}");
        let daemon = daemons(&launch)?[0];
        ensure!(process(daemon).is_some(), "{how:?}: the daemon is gone");
        assert_eq!(told_to_go_on(&room)?, "connect Success, flock Success, child 6\n", "{how:?}");
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// Standard output is at its end for its reader, and the tracer that stays holds nothing that was the command's.
#[test]
fn the_tracer_that_stays_lets_go_of_what_it_inherited() -> Result<()> {
    let launch = Launch::fixture("leaves_daemon")?;
    let room = launch.room().to_owned();
    let extra = room.join("extra").display().to_string();
    let launch = launch.arg(room.clone()).given(format!("open=17:{extra}"));
    let mut command = launch.prepare(How::Traced)?;
    let (mut reader, writer) = std::io::pipe()?;
    let pipe = open_files(std::process::id().cast_signed());
    command
        .stdin(writer.try_clone()?)
        .stdout(writer)
        .stderr(fs::File::create(room.join("stderr"))?);
    let running = gmtrace_tests::harness::Running::spawn(command, launch.marker())?;
    ensure!(!pipe.is_empty());
    assert_eq!(running.end()?.code(), Some(5));
    reader.read_to_end(&mut Vec::new())?; // Ends only when nobody holds the other side.
    let daemon = daemons(&launch)?[0];
    let tracer = tracer_of(daemon)?;
    await_that("the tracer holds nothing inherited", || {
        let inherited = |file: &String| *file == extra || file.ends_with("/stderr");
        (!open_files(tracer).iter().any(inherited)).then_some(())
    })?;
    told_to_go_on(&room)?;
    nobody_left(launch.marker())
}

/// Two daemons: the tracer stays for the last of them, and no longer.
#[test]
fn the_tracer_ends_with_the_last_daemon() -> Result<()> {
    let launch = Launch::command(["sh", "-c", "\"$0\" \"$1\"; exec \"$0\" \"$2\""])?;
    let (first, second) = (launch.room().join("first"), launch.room().join("second"));
    fs::create_dir(&first)?;
    fs::create_dir(&second)?;
    let launch = launch.arg(fixture("leaves_daemon")?).arg(first.clone()).arg(second.clone());
    assert_eq!(launch.start(How::Traced)?.end()?.code(), Some(5));
    let pids = daemons(&launch)?;
    let tracer = tracer_of(pids[1])?;
    assert_eq!(tracer_of(pids[0])?, tracer);
    told_to_go_on(&first)?;
    await_that("the first daemon ends", || {
        process(pids[0]).is_none_or(|gone| gone.state == 'Z').then_some(())
    })?;
    assert_eq!(tracer_of(pids[1])?, tracer);
    assert_eq!(told_to_go_on(&second)?, "connect Success, flock Success, child 6\n");
    nobody_left(launch.marker())
}

/// Case 2: one that is stopped when gmtrace ends stays stopped until SIGCONT.
#[test]
fn a_stopped_child_that_is_left_behind_stays_stopped() -> Result<()> {
    for how in BOTH {
        let launch = Launch::fixture("leaves_daemon")?;
        let room = launch.room().to_owned();
        let launch = launch.arg(room.clone()).arg("stopped");
        assert_eq!(launch.start(how)?.end()?.code(), Some(5), "{how:?}");
        let daemon = daemons(&launch)?[0];
        touch(room.join("go"))?;
        let state = process(daemon).context("the daemon is gone")?.state;
        ensure!("Tt".contains(state), "{how:?}: {state}");
        ensure!(!room.join("done").exists(), "{how:?}: it ran on");
        send(Signal::SIGCONT, daemon)?;
        assert_eq!(told_to_go_on(&room)?, "connect Success, flock Success, child 6\n", "{how:?}");
        nobody_left(launch.marker())?;
    }
    Ok(())
}
