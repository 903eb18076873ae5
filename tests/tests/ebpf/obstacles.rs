//! What keeps eBPF from working, in namespaces where that is really so: the reason is told, and there is another way.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::gmtrace;
use gmtrace_tests::harness::{How, Launch};
use nix::libc::{SYS_bpf, SYS_ptrace};
use serde_json::Value;

use super::kernel;

/// gmtrace where `hide` was done to the files of `/sys`, which nobody else sees.
fn where_it_is(hide: &str, options: &[&str]) -> Result<Output> {
    let script = format!("{hide} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(gmtrace()?).args(options);
    let command = command.args(["--", "sh", "-c", "exit 6"]).env("GMTRACE_STATE", "off");
    command.env_remove("GMTRACE_BACKEND").output().context("unshare")
}

const NO_TYPES: &str = "mount -t tmpfs none /sys/kernel/btf";
const LOCKED: &str = "mount -t tmpfs none /sys/kernel/security && \
    echo 'none integrity [confidentiality]' > /sys/kernel/security/lockdown";

#[test]
fn a_kernel_without_types_and_one_that_is_locked() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    for (hide, reason) in
        [(NO_TYPES, "/sys/kernel/btf/vmlinux"), (LOCKED, "lockdown mode (confidentiality)")]
    {
        let asked = where_it_is(hide, &["--backend", "ebpf"])?;
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert_eq!(asked.status.code(), Some(125), "{said}");
        ensure!(said.contains(reason) && said.contains("try: --backend ptrace"), "{said}");
        // Without having been asked for, ptrace does.
        let left_alone = where_it_is(hide, &["-v"])?;
        let said = String::from_utf8_lossy(&left_alone.stderr).into_owned();
        assert_eq!(left_alone.status.code(), Some(6), "{said}");
        ensure!(said.contains(reason) && said.contains("ptrace"), "{said}");
    }
    Ok(())
}

/// A command that is left to choose how it is watched: how that is, and what a person is told.
fn chosen(given: &[String], nobody: bool) -> Result<(Value, String)> {
    let launch = Launch::fixture("exits_with")?.arg("7").env("GMTRACE_BACKEND", "auto");
    let launch = given.iter().fold(launch, |launch, circumstance| launch.given(circumstance));
    let launch = if nobody { launch.as_nobody()? } else { launch };
    let outcome = launch.run(How::Traced)?;
    assert_eq!(outcome.status.code(), Some(7), "{given:?}: {outcome:?}");
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    Ok((outcome.recording()?.header["backend"].clone(), said))
}

fn deny(call: i64) -> String {
    format!("deny={call}")
}

/// Who has no rights expects nothing else: the recording says why, and nothing is printed.
#[test]
fn an_ordinary_user_has_ptrace() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let (backend, said) = chosen(&[], true)?;
    assert_eq!(backend["name"], "ptrace", "{backend}");
    let why = backend["why"].as_str().unwrap_or_default();
    ensure!(why.contains("eBPF needs root, or CAP_BPF and CAP_PERFMON"), "{why}");
    assert_eq!(said, "");
    Ok(())
}

/// capabilities(7): CAP_SYS_PTRACE is 19, CAP_SYS_ADMIN 21, CAP_PERFMON 38, CAP_BPF 39.
#[test]
fn it_takes_two_capabilities_and_not_one_of_them() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    for (kept, name, missing) in [
        (&[39][..], "ptrace", "CAP_PERFMON"),
        (&[38], "ptrace", "CAP_BPF"),
        (&[19], "ptrace", "CAP_BPF and CAP_PERFMON"),
        (&[38, 39], "ebpf", ""),
        (&[21], "ebpf", ""),
    ] {
        let kept: Vec<String> = kept.iter().map(|number| format!("keep={number}")).collect();
        let (backend, said) = chosen(&kept, true)?;
        assert_eq!(backend["name"], name, "{kept:?}: {backend} {said}");
        let why = backend["why"].as_str().unwrap_or_default();
        ensure!(name == "ebpf" || why.ends_with(&format!("or {missing}")), "{kept:?}: {why}");
    }
    Ok(())
}

/// RLIMIT_MEMLOCK (8): since Linux 5.11 maps do not count in it, and before that gmtrace raises it for itself, as root may.
#[test]
fn no_locked_memory_is_no_obstacle_to_root() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let launch = Launch::command(["sh", "-c", "ulimit -l"])?.given("limit=8:0");
    let launch = launch.env("GMTRACE_BACKEND", "auto");
    let outcome = launch.run(How::Traced)?;
    assert_eq!(outcome.text(), "0\n", "the command has the limit that it was given");
    assert_eq!(outcome.recording()?.header["backend"]["name"], "ebpf");
    Ok(())
}

/// As a container's seccomp filter does: one line says why, and the next best is used.
#[test]
fn where_a_filter_denies_bpf_there_is_ptrace_and_without_that_proc() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let told = |said: &str, by: &str| {
        let lines: Vec<&str> = said.lines().filter(|line| line.contains("eBPF")).collect();
        let begin = format!("gmtrace: watching by {by}: eBPF was refused (");
        ensure!(lines.len() == 1 && lines[0].starts_with(&begin), "{said}");
        Ok(())
    };
    let (backend, said) = chosen(&[deny(SYS_bpf)], false)?;
    assert_eq!(backend["name"], "ptrace", "{backend}");
    told(&said, "ptrace")?;
    let (backend, said) = chosen(&[deny(SYS_bpf), deny(SYS_ptrace)], false)?;
    assert_eq!(backend["name"], "proc", "{backend}");
    told(&said, "proc")?;
    let unseen = backend["unseen"].to_string();
    ensure!(unseen.contains("connects, look-ups and locks as they happen"), "{unseen}");
    ensure!(said.contains("cannot trace"), "{said}");
    // Who has no rights is denied ptrace alone.
    let (backend, said) = chosen(&[deny(SYS_ptrace)], true)?;
    assert_eq!(backend["name"], "proc", "{backend}: {said}");
    Ok(())
}
