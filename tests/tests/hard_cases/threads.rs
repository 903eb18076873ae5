//! Threads that begin, exec and end at bad moments.

use anyhow::{Result, ensure};
use gmtrace_tests::harness::{Launch, rounds};
use gmtrace_tests::recording::Recording;
use serde_json::json;

/// Two execs of one process, and one end of it.
fn execs_twice_and_ends_once(recording: &Recording, code: i64) -> Result<()> {
    let command = recording.command()?;
    let execs = recording.of("exec").filter(|event| event["pid"] == command).count();
    ensure!(execs == 2, "{execs} execs of {command}: {:?}", recording.events);
    assert_eq!(recording.exit_of(command)?, &json!({"code": code}));
    ensure!(recording.count("lock-request") >= 1, "the survivor is still watched");
    Ok(())
}

/// Case 5.
#[test]
fn a_thread_execs_while_the_leader_runs() -> Result<()> {
    let recording = Launch::fixture("exec_from_thread")?.arg("alive").runs_alike()?.recording()?;
    execs_twice_and_ends_once(&recording, 6)
}

/// Case 5.
#[test]
fn a_thread_execs_while_the_leader_sleeps() -> Result<()> {
    let recording =
        Launch::fixture("exec_from_thread")?.arg("sleeping").runs_alike()?.recording()?;
    execs_twice_and_ends_once(&recording, 6)
}

/// Case 5.
#[test]
fn a_thread_execs_when_the_leader_is_gone() -> Result<()> {
    let recording = Launch::fixture("exec_from_thread")?.arg("exited").runs_alike()?.recording()?;
    execs_twice_and_ends_once(&recording, 6)
}

/// Case 5 for Go.
#[test]
fn go_switches_its_toolchain_from_any_thread() -> Result<()> {
    let recording = Launch::fixture("exec_from_thread.go")?.runs_alike()?.recording()?;
    execs_twice_and_ends_once(&recording, 0)
}

/// Case 6. Eight children a round are recorded, born and ended.
#[test]
fn threads_that_begin_and_end_at_once_all_run() -> Result<()> {
    let times = rounds(50, 1000);
    let recording =
        Launch::fixture("threads_at_once")?.arg(times.to_string()).runs_alike()?.recording()?;
    let children = usize::try_from(times)? * 8;
    assert_eq!(recording.children()?, children);
    assert_eq!(recording.count("process-exit"), children + 1);
    Ok(())
}

/// Case 13.
#[test]
fn a_leader_may_end_before_its_threads() -> Result<()> {
    let recording = Launch::fixture("leader_exits_first")?.runs_alike()?.recording()?;
    assert_eq!(recording.exit_of(recording.command()?)?, &json!({"code": 7}));
    ensure!(recording.count("lock-request") == 1, "{:?}", recording.events);
    Ok(())
}

/// Case 24. It ends, and the 50 locks are among those recorded.
#[test]
fn busy_threads_starve_nobody() -> Result<()> {
    let recording = Launch::fixture("busy_threads")?.runs_alike()?.recording()?;
    ensure!(
        recording.count("lock-end") >= 50 || recording.count("lost") > 0,
        "{:?}",
        recording.end
    );
    Ok(())
}
