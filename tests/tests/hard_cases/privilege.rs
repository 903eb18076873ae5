//! An ordinary user can run gmtrace; what that changes for set-user-ID programs is said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::{Result, ensure};
use gmtrace_tests::fixtures::fixture;
use gmtrace_tests::harness::{How, Launch, is_root, send};
use gmtrace_tests::processes::{end_what_lives_on, nobody_left};
use nix::sys::signal::Signal;

#[test]
fn an_ordinary_user_needs_nothing() -> Result<()> {
    let launches: &[(&str, &[&str])] = &[
        ("exits_with", &["17"]),
        ("dies_by", &["15"]),
        ("counts_signals", &["20"]),
        ("group_stop", &[]),
        ("exec_from_thread", &["sleeping"]),
        ("threads_at_once", &["10"]),
        ("vfork_storm", &["20"]),
        ("killed_in_stops", &["20", "1"]),
        ("leader_exits_first", &[]),
        ("restarts", &[]),
        ("sigurg_storm.go", &[]),
    ];
    for (name, arguments) in launches {
        let mut launch = Launch::fixture(name)?.as_nobody()?;
        for argument in *arguments {
            launch = launch.arg(*argument);
        }
        let recording = launch.runs_alike()?.recording()?;
        ensure!(recording.count("process-exit") >= 1, "{name}: {:?}", recording.events);
    }
    Ok(())
}

/// capabilities(7): CAP_SYS_PTRACE, CAP_PERFMON and CAP_BPF, and no more.
#[test]
fn an_ordinary_user_with_three_capabilities_has_ebpf() -> Result<()> {
    if !is_root() {
        println!("not tested: only root can give capabilities away");
        return Ok(());
    }
    let mut launch = Launch::fixture("vfork_storm")?.arg("20");
    for capability in [19, 38, 39] {
        launch = launch.given(format!("keep={capability}"));
    }
    let launch = launch.as_nobody()?.env("GMTRACE_BACKEND", "auto");
    let recording = launch.run(How::Traced)?.recording()?;
    let backend = &recording.header["backend"];
    ensure!(backend["name"] == "ebpf", "{backend}");
    ensure!(recording.count("process-start") > 1, "{:?}", recording.events);
    Ok(())
}

#[test]
fn an_ordinary_user_who_kills_gmtrace_kills_the_command() -> Result<()> {
    let launch = Launch::fixture("busy_tree")?.as_nobody()?;
    let mut running = launch.start(How::Traced)?;
    assert_eq!(running.line()?, "running");
    send(Signal::SIGKILL, running.pid())?;
    assert_eq!(running.end()?.signal(), Some(9));
    end_what_lives_on(launch.marker())?;
    nobody_left(launch.marker())
}

/// Case 18. The bit is ignored by the kernel, under any tracer without privilege; the recording says why the command failed.
#[test]
fn a_set_user_id_program_that_loses_its_user_is_reported() -> Result<()> {
    if !is_root() {
        println!("not tested: only root can make a set-user-ID program of root");
        return Ok(());
    }
    let launch = Launch::command(["sh", "-c", "exec \"$0\""])?.as_nobody()?;
    let program = launch.copy(&fixture("prints_euid")?)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))?;
    let launch = launch.arg(program);
    let bare = launch.run(How::Bare)?;
    if bare.text() != "euid 0\n" {
        println!("not tested: the temporary directory is mounted nosuid");
        return Ok(());
    }
    let traced = launch.run(How::Traced)?;
    nobody_left(launch.marker())?;
    if traced.stdout != bare.stdout {
        assert_eq!(traced.text(), "euid 65534\n");
        let recording = traced.recording()?;
        let kinds = ["note", "lost"];
        let said = ["setuid", "set-user-id", "no_new_privs"]
            .iter()
            .any(|word| recording.mentions(&kinds, word));
        ensure!(said, "silent: {:?}", recording.events);
    }
    Ok(())
}

/// File capabilities are such rights too.
#[test]
fn a_program_that_loses_its_file_capabilities_is_reported() -> Result<()> {
    if !is_root() {
        println!("not tested: only root can give a program capabilities");
        return Ok(());
    }
    let launch = Launch::command(["sh", "-c", "exec \"$0\""])?.as_nobody()?;
    let program = launch.copy(&fixture("prints_euid")?)?;
    let given = Command::new("/usr/sbin/setcap").arg("cap_net_raw+ep").arg(&program).status()?;
    ensure!(given.success(), "setcap: {given}");
    let traced = launch.arg(program).run(How::Traced)?;
    let recording = traced.recording()?;
    ensure!(recording.mentions(&["note"], "file capabilities"), "silent: {:?}", recording.events);
    Ok(())
}
