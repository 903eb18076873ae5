//! What has begun and ended leaves nothing in the maps.

use anyhow::{Context, Result, ensure};
use gmtrace_tests::harness::{How, Launch, rounds};

use super::kernel;

/// The line that `-vv` writes at the end.
pub(crate) const EMPTY: &str = r#"[("TREE", 0), ("CONNECTIONS", 0), ("LOOKUPS", 0), ("CALLS", 0)]"#;

/// A debug build attaches one probe at a time, as it does where the kernel is older than 6.6.
const ONE_BY_ONE: &str = "GMTRACE_TEST_ONE_BY_ONE";

fn nothing_is_left(launch: Launch, times: u32, kinds: &[&str]) -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let launch = launch.arg(times.to_string());
    let outcome = launch.option("--backend=ebpf").option("-vv").run(How::Traced)?;
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    ensure!(outcome.text() == format!("{times}\n"), "{}{said}", outcome.text());
    // So many were seen to begin, or there was nothing to be left.
    for kind in kinds {
        let made = said.split_once(&format!("records: {kind}: made ")).map(|(_, rest)| rest);
        let made = made.and_then(|rest| rest.split(',').next()?.parse::<u32>().ok());
        ensure!(made.is_some_and(|made| made >= times), "{kind}: {made:?} of {times}");
    }
    let left = said.split_once("left in maps: ").context("nothing is told of maps")?.1;
    assert_eq!(left.lines().next(), Some(EMPTY));
    Ok(())
}

#[test]
fn threads_that_look_up_names() -> Result<()> {
    let kinds = ["LookupStart", "LookupEnd"];
    nothing_is_left(Launch::fixture("looks_up_in_threads")?, rounds(100_000, 100_000), &kinds)
}

/// The last of them is ended in the middle of a request.
#[test]
fn threads_of_go_that_connect() -> Result<()> {
    let (times, kinds) = (rounds(10_000, 100_000), ["Connect", "GoEntry", "GoReturn"]);
    nothing_is_left(Launch::fixture("go_dials_in_threads.go")?, times, &kinds)
}

#[test]
fn the_same_by_one_probe_at_a_time() -> Result<()> {
    let fixtures = ["looks_up_in_threads", "go_dials_in_threads.go"];
    for (fixture, kind) in fixtures.into_iter().zip(["LookupEnd", "GoReturn"]) {
        nothing_is_left(Launch::fixture(fixture)?.env(ONE_BY_ONE, "1"), 100, &[kind])?;
    }
    Ok(())
}
