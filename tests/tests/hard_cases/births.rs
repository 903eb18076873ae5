//! Processes that are born in unusual ways.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::{fixture, gmtrace};
use gmtrace_tests::harness::{BOTH, How, Launch, Running, is_root, rounds, same_end};
use gmtrace_tests::processes::{await_quiet, nobody_left};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;

/// In a pid namespace where an ordinary user is root, too.
fn in_a_namespace(launch: &Launch, how: How, options: &[&str]) -> Result<Running> {
    let mut command = Command::new("unshare");
    command.args(options).arg("--").args(launch.words(how)?);
    command.env(gmtrace_tests::processes::MARKER, launch.marker()).env("GMTRACE_STATE", "off");
    if std::env::var_os("GMTRACE_BACKEND").is_none() {
        command.env("GMTRACE_BACKEND", "ptrace");
    }
    command.stdout(std::process::Stdio::piped());
    Running::spawn(command, launch.marker())
}

/// Case 7. `clone3` with a chosen pid needs a privilege, which a user has in a namespace of his own.
#[test]
fn one_pid_is_used_again_and_again() -> Result<()> {
    let times = rounds(300, 10_000);
    let launch = Launch::fixture("pid_reuse")?.arg(times.to_string());
    for how in BOTH {
        let mut running =
            if is_root() { launch.start(how)? } else { in_a_namespace(&launch, how, &["-Urpf"])? };
        assert_eq!(running.line()?, format!("{times} children under one id"), "{how:?}");
        ensure!(running.end()?.success());
        nobody_left(launch.marker())?;
    }
    let recording = launch.recording()?;
    let ended =
        recording.of("process-exit").filter(|event| event["exit"]["code"].is_number()).count();
    ensure!(ended > usize::try_from(times)?, "{ended} ends of {times} children");
    Ok(())
}

/// Case 8: SIGINT to the group while the child of a vfork holds its parent in the kernel, after its exec, and after its end.
#[test]
fn ctrl_c_ends_a_vfork_at_every_point() -> Result<()> {
    for point in ["before", "after", "gone"] {
        let launch = Launch::fixture("vfork_hold")?.arg(point).given("group");
        let mut ends = Vec::new();
        for how in BOTH {
            let mut running = launch.start(how)?;
            assert_eq!(running.line()?, "at the point", "{point}");
            killpg(Pid::from_raw(running.pid()), Signal::SIGINT)?;
            ends.push(running.end()?);
            nobody_left(launch.marker()).with_context(|| format!("{point}, {how:?}"))?;
        }
        same_end(ends[0], ends[1])?;
    }
    Ok(())
}

/// Case 8.
#[test]
fn vforks_inside_vforks_all_exec() -> Result<()> {
    let recording = Launch::fixture("vfork_storm")?.arg("100").runs_alike()?.recording()?;
    assert_eq!(recording.children()?, 150);
    assert_eq!(recording.count("exec"), 1 + 100);
    Ok(())
}

/// Case 8 for Go.
#[test]
fn children_of_go_end_with_their_codes() -> Result<()> {
    let recording = Launch::fixture("vfork_children.go")?.runs_alike()?.recording()?;
    for code in 0..80 {
        let ends =
            recording.of("process-exit").filter(|event| event["exit"] == json!({"code": code}));
        ensure!(ends.count() >= 1, "no child ended with {code}");
    }
    Ok(())
}

/// Case 9. The child is followed like any other, and cannot tell.
#[test]
fn a_child_that_would_evade_the_tracer_is_followed() -> Result<()> {
    let recording = Launch::fixture("clone_untraced")?.runs_alike()?.recording()?;
    assert_eq!(recording.children()?, 1);
    assert_eq!(recording.count("lock-request"), 1, "{:?}", recording.events);
    Ok(())
}

/// Case 21. The recording has the ids of gmtrace's namespace.
#[test]
fn a_tracee_may_live_in_another_pid_namespace() -> Result<()> {
    let launch = Launch::fixture("pid_namespace")?;
    let bare = launch.run(How::Bare)?;
    let traced = launch.run(How::Traced)?;
    same_end(bare.status, traced.status)?;
    assert_eq!(bare.stdout, traced.stdout);
    nobody_left(launch.marker())?;
    let stderr = String::from_utf8_lossy(&traced.stderr).into_owned();
    let outside: i64 = stderr.trim().strip_prefix("outside ").context("no pid")?.parse()?;
    let recording = traced.recording()?;
    assert_eq!(recording.exit_of(outside)?, &json!({"code": 8}));
    let inside = recording.of("process-start").find(|event| event["pid"] == outside);
    assert_eq!(inside.map(|event| &event["ns_pid"]), Some(&json!(1)), "it is 1 where it lives");
    Ok(())
}

/// Case 21, the other way round: gmtrace itself is in the namespace, and is its first process, so that orphans are given to it
/// (case 26).
#[test]
fn gmtrace_may_be_the_first_process_of_a_container() -> Result<()> {
    let options: &[&str] =
        if is_root() { &["-pf", "--mount-proc"] } else { &["-Urpf", "--mount-proc"] };
    let script = "(sh -c 'exit 3' &) ; (exec \"$0\" 5 &) ; exec \"$0\" 9";
    let launch = Launch::command(["sh", "-c", script])?.arg(fixture("exits_with")?);
    for how in BOTH {
        assert_eq!(in_a_namespace(&launch, how, options)?.end()?.code(), Some(9), "{how:?}");
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// Case 26: what is orphaned there is taken away when it has ended, while the command runs on.
#[test]
fn the_first_process_of_a_container_takes_orphans_away() -> Result<()> {
    let options: &[&str] =
        if is_root() { &["-pf", "--mount-proc"] } else { &["-Urpf", "--mount-proc"] };
    let script = "(sh -c 'echo $$ > \"$0\"' \"$0\" &); until [ -s \"$0\" ]; do :; done; \
        read -r orphan < \"$0\"; while [ -d \"/proc/$orphan\" ]; do :; done; exit 9";
    let launch = Launch::command(["sh", "-c", script])?;
    let file = launch.room().join("orphan");
    let launch = launch.arg(file);
    assert_eq!(in_a_namespace(&launch, How::Traced, options)?.end()?.code(), Some(9));
    nobody_left(launch.marker())
}

/// Case 21, with the `/proc` of the namespace outside: that is said, and a thread is still told from a process.
#[test]
fn a_proc_of_another_namespace_is_reported() -> Result<()> {
    let launch = Launch::fixture("threads_at_once")?.arg("3");
    let options: &[&str] = if is_root() { &["-pf"] } else { &["-Urpf"] };
    ensure!(in_a_namespace(&launch, How::Traced, options)?.end()?.success());
    nobody_left(launch.marker())?;
    let recording = launch.recording()?;
    ensure!(recording.mentions(&["note"], "pid namespace"), "{:?}", recording.events);
    assert_eq!(recording.count("process-start"), 1 + 3 * 64 / 8, "{:?}", recording.events);
    Ok(())
}

/// Case 26: gmtrace is executed by a process that already had a child, as `(child &); exec gmtrace` does.
#[test]
fn a_child_that_gmtrace_did_not_make_changes_nothing() -> Result<()> {
    let launch = Launch::fixture("exits_with")?.arg("6").given("child=9");
    let traced = launch.run(How::Traced)?;
    assert_eq!(traced.status.code(), Some(6));
    nobody_left(launch.marker())
}

/// Case 20: a process has one tracer. The command's own tracing fails with EPERM, as ptrace(2) says; it ends as ever.
#[test]
fn a_command_that_is_a_debugger_is_told_so_and_does_not_hang() -> Result<()> {
    let launch = Launch::fixture("traces_its_child")?;
    let bare = launch.run(How::Bare)?;
    assert_eq!(bare.text(), "tracing the child: Success\n");
    let traced = launch.run(How::Traced)?;
    same_end(bare.status, traced.status)?;
    if traced.stdout != bare.stdout {
        assert_eq!(traced.text(), "tracing the child: Operation not permitted\n");
    }
    nobody_left(launch.marker())
}

/// Case 20: where gmtrace runs under a debugger, the command cannot be seized. It is run anyway.
#[test]
fn under_a_debugger_the_command_runs_anyway() -> Result<()> {
    for (fixture_name, argument, code) in [("exits_with", "7", 7), ("threads_at_once", "3", 0)] {
        let command = [fixture("outer_tracer")?, gmtrace()?];
        let launch = Launch::command(command)?.arg("--").arg(fixture(fixture_name)?).arg(argument);
        let outcome = launch.run(How::Bare)?;
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert_eq!(outcome.status.code(), Some(code), "{said}");
        ensure!(said.contains("trace"), "nothing is said about it: {said:?}");
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// Case 20: a container's filter forbids ptrace(2), seccomp(2), or what finds processes. The command is run anyway, and what is missing is said.
#[test]
fn in_a_container_that_forbids_tracing_the_command_runs_anyway() -> Result<()> {
    for (denied, said) in [
        (
            nix::libc::SYS_ptrace,
            "cannot trace (a seccomp filter around gmtrace (a container's) forbids ptrace; try: docker run --cap-add=SYS_PTRACE",
        ),
        (nix::libc::SYS_seccomp, "no seccomp filter can be installed: Operation not permitted"),
    ] {
        let launch = Launch::fixture("exits_with")?.arg("7").given(format!("deny={denied}"));
        let bare = launch.run(How::Bare)?;
        let traced = launch.run(How::Traced)?;
        same_end(bare.status, traced.status)?;
        assert_eq!(traced.stdout, bare.stdout);
        let errors = String::from_utf8_lossy(&traced.stderr).into_owned();
        ensure!(errors.contains(said), "{denied}: {errors:?}");
        let recording = traced.recording()?;
        assert_eq!(recording.header["backend"]["name"], "proc", "{denied}");
        nobody_left(launch.marker())?;
    }
    let launch = Launch::fixture("exits_with")?
        .arg("7")
        .given(format!("deny={}", nix::libc::SYS_pidfd_open));
    assert_eq!(launch.run(How::Traced)?.status.code(), Some(7));
    nobody_left(launch.marker())
}

/// Case 8 and 12: nothing of a launch is running any more when its processes are quiet and it has ended.
#[test]
fn a_pause_is_ended_by_sigterm_to_the_front() -> Result<()> {
    let launch = Launch::fixture("vfork_hold")?.arg("gone");
    let mut ends = Vec::new();
    for how in BOTH {
        let mut running = launch.start(how)?;
        assert_eq!(running.line()?, "at the point");
        await_quiet(launch.marker())?;
        gmtrace_tests::harness::send(Signal::SIGTERM, running.pid())?;
        ends.push(running.end()?);
        nobody_left(launch.marker())?;
    }
    same_end(ends[0], ends[1])
}
