//! Programs whose goroutines wait in every way there is, built in the ways that programs are built.

use std::collections::HashMap;

use anyhow::{Context, Result};
use gmtrace_core::event::{GoRuntime, GoValue, Status};
use gmtrace_tests::fixtures::{GoBuild, go_fixture};
use gmtrace_tests::go::Go;
use gmtrace_tests::processes::await_that;
use nix::sys::signal::Signal;

use crate::RELEASES;
use crate::look::{equal, hanging, open, record};

/// The reading of a program that hangs, which is what it says of itself.
fn truth(go: &Go, name: &str, how: GoBuild) -> Result<GoRuntime> {
    let what = format!("{}-{name}-{how:?}", go.says()?);
    let program = go_fixture(go, name, how)?;
    let command = go.project()?.command::<&str>(&program, []);
    // The garbage collector would move goroutines between the reading and the dump.
    let command = command.env("GOTRACEBACK", "system").env("GOGC", "off");
    // Where cat is; and nothing of this machine in a recording.
    let hung = command.env("PATH", "/usr/bin:/bin").spawn()?;
    hung.wait_for_stderr("ready")?;
    let pid = hung.pid().as_raw();
    let read = hanging(pid).with_context(|| what.clone())?;
    record(&what, || Ok(open(pid)?.record()))?;
    hung.signal(Signal::SIGQUIT)?;
    equal(&what, &read, &hung.wait()?.stderr)?;
    Ok(read)
}

fn every_wait(go: &Go) -> Result<()> {
    for how in GoBuild::ALL {
        let read = truth(go, "every_wait", how)?;
        let waits = read.goroutines.iter().filter(|g| g.waits_for.is_some()).count();
        let parked = read.goroutines.iter().filter(|g| g.wait_reason.as_deref() == Some("IO wait"));
        assert_eq!(waits, parked.count(), "{how:?}: every goroutine in IO wait has its descriptor");
        assert!(waits >= 6, "{how:?}: {waits}");
        let calls = read.goroutines.iter().filter(|g| g.status == Status::Syscall);
        assert!(calls.clone().count() >= 3, "{how:?}: {read:?}");
        assert!(calls.clone().all(|g| g.tid.is_some()), "{how:?}: {calls:?}");
        let waits_for_child = read.goroutines.iter().find(|g| g.is_in("os/exec.(*Cmd).Wait"));
        let child = waits_for_child.with_context(|| format!("{how:?}: nobody waits for cat"))?;
        let mut arguments = child.calls.iter().flat_map(|call| &call.arguments);
        // Of programs that are not known, only the first word is kept.
        let argv = GoValue::Words(vec!["cat".to_owned()]);
        assert!(arguments.any(|argument| argument.value == argv), "{how:?}: {child:?}");
    }
    Ok(())
}

fn with_c(go: &Go) -> Result<()> {
    let read = truth(go, "cgo_waits", GoBuild::PieWithC)?;
    let in_c = read.goroutines.iter().filter(|g| g.is_in("runtime.cgocall")).count();
    assert_eq!(in_c, 2, "{read:?}");
    Ok(())
}

#[test]
fn of_every_release() -> Result<()> {
    RELEASES.iter().try_for_each(|release| every_wait(&Go::version(release)?))
}

#[test]
fn of_the_go_in_path() -> Result<()> {
    every_wait(&Go::find()?)
}

#[test]
fn of_debian() -> Result<()> {
    every_wait(&Go::linked_with_libc()?)
}

#[test]
fn in_c_and_back() -> Result<()> {
    with_c(&Go::linked_with_libc()?)?;
    with_c(&Go::find()?)?;
    RELEASES.iter().try_for_each(|release| with_c(&Go::version(release)?))
}

/// Found where it was before with nothing changed: five times at one place.
fn comes_back(go: &Go, words: &str) -> Result<()> {
    let command = go.project()?.command(&go_fixture(go, "spins", GoBuild::Plain)?, [words]);
    let spins = command.spawn()?;
    let mut found: HashMap<_, u32> = HashMap::new();
    await_that("its goroutine is found as before", || {
        let read = open(spins.pid().as_raw()).ok()?.read();
        let runs = read.goroutines.iter().find(|g| g.id == 1 && g.is_in("main.main"))?;
        let at = runs.interrupted?;
        assert!(runs.is_in(&format!("main.{words}")), "{runs:?}");
        let times = found.entry((at.pc, at.state)).or_default();
        *times += 1;
        (*times == 5).then_some(())
    })
    .with_context(|| format!("{words}: {found:?}"))?;
    spins.kill().map(drop)
}

#[test]
fn that_come_back_to_where_they_were() -> Result<()> {
    RELEASES.iter().map(|release| Go::version(release)).chain([Go::find()]).try_for_each(|go| {
        let go = go?;
        comes_back(&go, "flag")
            .and_then(|()| comes_back(&go, "channel"))
            .with_context(|| go.says().unwrap_or_default())
    })
}
