//! A probe is in a file, and so in every process that runs it: only those of the tree are looked at.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::fixture;
use gmtrace_tests::harness::{How, Launch};
use gmtrace_tests::processes::{await_that, process};

use super::kernel;

#[test]
fn another_process_of_the_same_program_is_none_of_it() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    // Works until it is told to end: its functions are called all the time.
    let mut other = Command::new(fixture("go_deep_stacks.go")?)
        .args(["160", "600"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let outside = i64::from(other.id());
    let began = await_that("it computes", || {
        process(other.id().cast_signed()).filter(|p| p.name.starts_with("go_deep"))
    });
    let launch = Launch::fixture("go_deep_stacks.go")?.arg("1600").option("--backend=ebpf");
    let traced = launch.run(How::Traced);
    let ended = other.try_wait()?;
    other.kill()?;
    other.wait()?;
    began.context("the other one never began")?;
    ensure!(ended.is_none(), "the other one ended: {ended:?}");
    let traced = traced?;
    assert_eq!(traced.status.code(), Some(7), "{traced:?}");
    let recording = traced.recording()?;
    let told: BTreeSet<i64> =
        recording.of("go-request").filter_map(|e| e["pid"].as_i64()).collect();
    assert_eq!(told, BTreeSet::from([recording.command()?]));
    let pids: BTreeSet<i64> = recording.events.iter().filter_map(|e| e["pid"].as_i64()).collect();
    ensure!(!pids.contains(&outside), "{pids:?} and {outside}");
    let address = recording.of("connect").next().context("no connection")?;
    ensure!(address["pid"] == recording.command()?, "{address}");
    Ok(())
}
