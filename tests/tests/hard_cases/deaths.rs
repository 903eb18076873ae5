//! Processes that end at bad moments, gmtrace's own among them.

use std::hash::{BuildHasher, RandomState};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gmtrace_tests::harness::{How, Launch, rounds, send};
use gmtrace_tests::processes::{await_that, children, end_what_lives_on, nobody_left};
use nix::sys::signal::Signal;
use serde_json::json;

/// Case 11.
#[test]
fn tracees_killed_in_the_middle_of_a_stop_are_no_error() -> Result<()> {
    let seed = Random::seeded("killed_in_stops").next() % 1_000_000;
    let times = rounds(200, 10_000);
    let launch = Launch::fixture("killed_in_stops")?.arg(times.to_string()).arg(seed.to_string());
    let recording = launch.runs_alike()?.recording()?;
    let ended = |exit| recording.of("process-exit").filter(|event| event["exit"] == exit).count();
    assert_eq!(ended(json!({"signal": "SIGKILL"})), usize::try_from(times)? / 2);
    assert_eq!(ended(json!({"code": 4})), usize::try_from(times)? / 2);
    Ok(())
}

/// Case 12.
#[test]
fn processes_that_end_at_once_all_die() -> Result<()> {
    let recording = Launch::fixture("exits_at_once")?.arg("50").runs_alike()?.recording()?;
    assert_eq!(recording.count("process-exit"), 51);
    Ok(())
}

/// Case 10: the front is killed at a random moment. The command is gone as if it had been killed itself; what it had started
/// lives on, as it would have without gmtrace, and is served until it ends.
#[test]
fn killing_the_front_kills_the_command() -> Result<()> {
    let mut random = Random::seeded("killing_the_front");
    for round in 0..rounds(10, 100) {
        kill_at_a_random_moment(&mut random, round, Signal::SIGKILL, Some)
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// Case 10: the tracer is killed.
#[test]
fn killing_the_tracer_kills_the_command() -> Result<()> {
    let mut random = Random::seeded("killing_the_tracer");
    for round in 0..rounds(10, 100) {
        kill_at_a_random_moment(&mut random, round, Signal::SIGKILL, tracer_of)
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// Case 29: an engine that fails in the middle lets everything run on; the command ends as it would have.
#[test]
fn an_engine_that_fails_leaves_nothing_stopped() -> Result<()> {
    for after in [5, 20, 80] {
        let launch = Launch::fixture("exits_at_once")?.arg("50").env(FAIL_AFTER, after.to_string());
        let bare = launch.run(How::Bare)?;
        let traced = launch.run(How::Traced)?;
        ensure!(traced.status == bare.status, "after {after} stops: {}", traced.status);
        ensure!(traced.text() == bare.text(), "after {after} stops: {}", traced.text());
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// Makes the engine of a debug build fail after so many stops.
const FAIL_AFTER: &str = "GMTRACE_TEST_FAIL_AFTER";

/// The tracer is the front's child.
fn tracer_of(front: i32) -> Option<i32> {
    children(front).first().map(|process| process.pid)
}

/// In every second round, not before the command runs.
fn kill_at_a_random_moment(
    random: &mut Random,
    round: u32,
    signal: Signal,
    victim: fn(i32) -> Option<i32>,
) -> Result<()> {
    let launch = Launch::fixture("busy_tree")?;
    let mut running = launch.start(How::Traced)?;
    if round.is_multiple_of(2) {
        assert_eq!(running.line()?, "running");
    }
    // Not a wait for anything: the moment itself.
    std::thread::sleep(Duration::from_micros(random.next() % 20_000));
    let front = running.pid();
    send(signal, await_that("gmtrace has begun", || victim(front))?)?;
    let status = running.end()?;
    ensure!(status.signal() == Some(Signal::SIGKILL as i32), "the front ended by {status}");
    end_what_lives_on(launch.marker())?;
    nobody_left(launch.marker())
}

/// Xorshift: good enough for moments. The seed is printed, and `GMTRACE_SEED` sets it.
struct Random(u64);

impl Random {
    fn seeded(what: &str) -> Self {
        let given = std::env::var("GMTRACE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(what)) | 1;
        println!("{what}: GMTRACE_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
