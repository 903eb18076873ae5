//! Probes on the functions of a Go program do not change what it does.

use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::gmtrace;
use gmtrace_tests::harness::{How, Launch, same_end, same_text};
use gmtrace_tests::processes::nobody_left;

use super::kernel;
use super::losses::records;
use super::maps::EMPTY;

/// Each piece of work hits some five probes, of which between two and three are told.
const PIECES: u64 = 40_000;

/// Stacks that grow in the prologue of a probed function, and shrink; panics, and ends of goroutines, that leave it without a return;
/// collections of garbage; signals that interrupt it.
#[test]
fn stacks_grow_and_goroutines_panic_in_probed_functions() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let launch = Launch::fixture("go_deep_stacks.go")?.arg(PIECES.to_string());
    let bare = launch.run(How::Bare)?;
    assert_eq!(bare.status.code(), Some(7), "{bare:?}");
    // Of what is told on standard error, each event among it, only what is wanted is kept.
    let mut lines = Command::new("grep")
        .args([
            "-a",
            "-e",
            "records: ",
            "-e",
            "left in maps: ",
            "-e",
            "panic: ",
            "-e",
            "fatal error: ",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = launch.room().join("stdout");
    let status = Command::new(gmtrace()?)
        .args(["-q", "-vv", "--backend=ebpf", "--"])
        .args(launch.words(How::Bare)?)
        .env("GMTRACE_STATE", "off")
        .stdout(File::create(&stdout)?)
        .stderr(Stdio::from(lines.stdin.take().context("no pipe")?))
        .status()?;
    let said = String::from_utf8(lines.wait_with_output()?.stdout)?;
    same_text("standard output", &bare.stdout, &std::fs::read(&stdout)?)?;
    same_end(bare.status, status)?;
    nobody_left(launch.marker())?;
    let records = records(&said)?;
    for (kind, records) in &records {
        assert_eq!(records.made, records.received + records.dropped, "{kind}");
    }
    let told = records["GoEntry"].made + records["GoReturn"].made;
    ensure!(told >= 2 * PIECES, "{told} calls and returns were told: {said}");
    assert_eq!(records["GoEntry"].unpaired, 0);
    ensure!(said.contains(&format!("left in maps: {EMPTY}")), "{said}");
    Ok(())
}
