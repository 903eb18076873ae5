//! Case 22: syscalls of another ABI are never read by the native table, and are reported as what they are.
#![cfg(target_arch = "x86_64")]

use anyhow::{Result, ensure};
use gmtrace_tests::harness::Launch;
use gmtrace_tests::recording::Recording;

/// Numbers of the syscalls recorded as foreign, of one ABI.
fn numbers(recording: &Recording, abi: &str) -> Vec<i64> {
    let of_abi = recording
        .of("foreign-syscall")
        .filter(|event| event["abi"].as_str().is_some_and(|name| name.contains(abi)));
    of_abi.filter_map(|event| event["nr"].as_i64()).collect()
}

#[test]
fn the_i386_gate_is_open_and_reported() -> Result<()> {
    let recording = Launch::fixture("int_0x80")?.runs_alike()?.recording()?;
    let seen = numbers(&recording, "386");
    ensure!(seen.contains(&20) && seen.contains(&143), "{:?}", recording.events);
    Ok(())
}

#[test]
fn a_32_bit_program_runs_and_is_reported() -> Result<()> {
    let recording = Launch::fixture("i386_binary")?.runs_alike()?.recording()?;
    ensure!(numbers(&recording, "386").contains(&143), "{:?}", recording.events);
    Ok(())
}

#[test]
fn x32_numbers_get_the_kernels_answer_and_are_reported() -> Result<()> {
    let recording = Launch::fixture("x32")?.runs_alike()?.recording()?;
    ensure!(!numbers(&recording, "x32").is_empty(), "{:?}", recording.events);
    Ok(())
}
