//! Stops, signals, and what they interrupt.

use anyhow::{Result, ensure};
use gmtrace_tests::harness::{BOTH, How, Launch, rounds, send};
use gmtrace_tests::processes::{await_quiet, nobody_left};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Case 1: SEIZE. No SIGSTOP is injected, so no parent is ever told of a stop of its child.
#[test]
fn launching_never_shows_a_stop_that_nobody_asked_for() -> Result<()> {
    for _ in 0..rounds(50, 1000) {
        let traced = Launch::fixture("phantom_stop")?.arg("1").run(How::Traced)?;
        assert_eq!(traced.text(), "1 children ended, 0 stops seen\n");
        let recording = traced.recording()?;
        assert_eq!(recording.count("stopped"), 0, "{:?}", recording.events);
    }
    Ok(())
}

/// Case 2.
#[test]
fn a_group_stop_lasts_until_sigcont_and_is_reported() -> Result<()> {
    let recording = Launch::fixture("group_stop")?.runs_alike()?.recording()?;
    ensure!(recording.count("stopped") >= 6, "{:?}", recording.events);
    ensure!(recording.count("continued") >= 5, "{:?}", recording.events);
    Ok(())
}

/// Case 3.
#[test]
fn every_signal_arrives_once_and_in_order() -> Result<()> {
    Launch::fixture("counts_signals")?.arg(rounds(100, 10_000).to_string()).runs_alike()?;
    Ok(())
}

/// Case 3 for Go.
#[test]
fn go_still_preempts_its_goroutines_by_sigurg() -> Result<()> {
    Launch::fixture("sigurg_storm.go")?.runs_alike()?;
    Ok(())
}

/// Case 4: the deaths are recorded under a name, though nix has none for these signals.
#[test]
fn real_time_signals_kill_and_are_handled() -> Result<()> {
    let recording = Launch::fixture("real_time_signals")?.runs_alike()?.recording()?;
    let killed =
        recording.of("process-exit").filter(|event| event["exit"]["signal"].is_string()).count();
    let (first, last) = (nix::libc::SIGRTMIN(), nix::libc::SIGRTMAX());
    assert_eq!(i32::try_from(killed)?, last - first + 1);
    Ok(())
}

/// Case 14. Each question for a lock has one answer, however often the kernel began it anew.
#[test]
fn interrupted_syscalls_restart_or_fail_as_signal_7_says() -> Result<()> {
    let recording = Launch::fixture("restarts")?.runs_alike()?.recording()?;
    assert_eq!(
        recording.count("lock-request"),
        recording.count("lock-end"),
        "{:?}",
        recording.events
    );
    ensure!(recording.count("lock-request") >= 6, "{:?}", recording.events);
    Ok(())
}

/// Case 15. `epoll_wait` alone may differ, and only where the recording says so: the kernel has no way to interrupt it unseen.
#[test]
fn no_wait_ends_with_eintr_because_of_the_tracer() -> Result<()> {
    let launch = Launch::fixture("spurious_eintr")?;
    let bare = launch.run(How::Bare)?;
    let traced = launch.run(How::Traced)?;
    let restartable = |text: String| text.lines().next().map(str::to_owned);
    assert_eq!(restartable(bare.text()), restartable(traced.text()));
    if bare.stdout != traced.stdout {
        let shown = traced.text();
        ensure!(traced.recording()?.mentions(&["note", "lost"], "EINTR"), "silent: {shown}");
    }
    Ok(())
}

/// What a person or a shell sends reaches the command once: sent to the front alone, or to the whole process group, of which the
/// command is a member itself.
#[test]
fn a_signal_to_the_front_or_to_the_group_arrives_once() -> Result<()> {
    let sent = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGTERM,
    ];
    let launch = Launch::fixture("on_terminal")?.arg("counts").given("group");
    for how in BOTH {
        let mut running = launch.start(how)?;
        assert_eq!(running.line()?, "ready");
        await_quiet(launch.marker())?;
        for signal in sent {
            send(signal, running.pid())?;
            await_quiet(launch.marker())?;
        }
        running.write(b"to the front\n")?;
        assert_eq!(
            running.line()?,
            "so far: HUP 1 INT 1 QUIT 1 USR1 1 USR2 1 TERM 1 CONT 0 TSTP 0 WINCH 0.",
            "{how:?}"
        );
        for signal in sent {
            killpg(Pid::from_raw(running.pid()), signal)?;
            await_quiet(launch.marker())?;
        }
        running.write(b"end\n")?;
        assert_eq!(
            running.line()?,
            "in all: HUP 2 INT 2 QUIT 2 USR1 2 USR2 2 TERM 2 CONT 0 TSTP 0 WINCH 0.",
            "{how:?}"
        );
        assert_eq!(running.end()?.code(), Some(4));
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// The signals of a process's own faults, sent by kill(2) to the whole group, as `timeout -s ABRT` does, or to
/// the front alone: gmtrace does not die of them, and so the command lives to see them.
#[test]
fn a_fault_signal_for_the_group_ends_neither_gmtrace_nor_the_command() -> Result<()> {
    for signal in [
        Signal::SIGABRT,
        Signal::SIGTRAP,
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGILL,
        Signal::SIGSYS,
    ] {
        let name = signal.as_str().trim_start_matches("SIG");
        let script = format!("trap 'echo got; exit 3' {name}; echo ready; read -r; exit 4");
        for group in [true, false] {
            let launch = Launch::command(["bash", "-c", &script])?.given("group");
            for how in BOTH {
                let mut running = launch.start(how)?;
                assert_eq!(running.line()?, "ready");
                await_quiet(launch.marker())?;
                let pid = Pid::from_raw(running.pid());
                if group {
                    killpg(pid, signal)?
                } else {
                    send(signal, running.pid())?
                }
                assert_eq!(running.line()?, "got", "{signal}, group: {group}, {how:?}");
                assert_eq!(running.end()?.code(), Some(3), "{signal}, group: {group}, {how:?}");
                nobody_left(launch.marker())?;
            }
        }
    }
    Ok(())
}
