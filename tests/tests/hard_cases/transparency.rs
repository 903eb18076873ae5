//! Whatever a command can find out about how it was started is what it would have found without gmtrace. What differs by design:
//! its own and its parent's id, its tracer, NoNewPrivs and Seccomp.

use std::fs;

use anyhow::{Context, Result};
use gmtrace_tests::harness::{BOTH, How, Launch, is_root, same_text};
use gmtrace_tests::processes::nobody_left;
use gmtrace_tests::terminal::Terminal;

/// A leader of a group or session is the front under gmtrace, the command itself without: the same process for whoever started it.
fn without_the_leader(report: &[u8], leader: i32) -> Vec<u8> {
    let text = String::from_utf8_lossy(report);
    let names_it =
        |line: &str| ["group", "NSpgid", "NSsid"].iter().any(|name| line.starts_with(name));
    let lines = text.lines().map(|line| {
        if names_it(line) { line.replace(&leader.to_string(), "LEADER") } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

/// The fixture sees the same in these circumstances.
fn sees_the_same(circumstances: &[&str]) -> Result<()> {
    let launch = Launch::fixture("prints_itself")?;
    let (report, seven) = (launch.room().join("report"), launch.room().join("seven"));
    let mut launch = launch.arg("word").arg("").arg(report.clone());
    for circumstance in circumstances {
        launch = launch.given(circumstance.replace("FILE", &seven.display().to_string()));
    }
    let mut seen = Vec::new();
    for how in BOTH {
        let outcome = launch.run(how)?;
        assert!(outcome.status.success(), "{circumstances:?} {how:?}: {outcome:?}");
        seen.push(without_the_leader(&fs::read(&report)?, outcome.pid));
        fs::remove_file(&report)?;
        nobody_left(launch.marker())?;
    }
    same_text("what the command sees", &seen[0], &seen[1])
        .with_context(|| format!("{circumstances:?}"))
}

#[test]
fn a_command_sees_what_it_would_see_bare() -> Result<()> {
    sees_the_same(&[])
}

#[test]
fn closed_standard_descriptors_stay_closed() -> Result<()> {
    for closed in [&["close=0"][..], &["close=1"], &["close=2"], &["close=0", "close=1", "close=2"]]
    {
        sees_the_same(closed)?;
    }
    Ok(())
}

#[test]
fn inherited_descriptors_keep_number_flags_and_offset() -> Result<()> {
    sees_the_same(&["open=3:FILE", "open=4:FILE", "open=7:FILE", "open=100:FILE", "open=999:FILE"])
}

#[test]
fn signal_masks_and_dispositions_are_inherited() -> Result<()> {
    sees_the_same(&[
        "block=1",
        "block=10",
        "block=15",
        "block=34",
        "block=64",
        "ignore=1",
        "ignore=12",
        "ignore=40",
    ])
}

/// What gmtrace itself needs is as its parent left it, for the command.
#[test]
fn signals_that_gmtrace_uses_itself_are_inherited() -> Result<()> {
    for signal in ["2", "3", "13", "17", "20", "21", "22", "28"] {
        sees_the_same(&[&format!("ignore={signal}")])?;
        sees_the_same(&[&format!("block={signal}")])?;
    }
    Ok(())
}

#[test]
fn limits_and_priorities_are_inherited() -> Result<()> {
    sees_the_same(&[
        "umask=027",
        "nice=3",
        "limit=7:64",
        "limit=3:4000000",
        "limit=4:max",
        "slack=77000",
        "cpu=0",
    ])?;
    sees_the_same(&["oom=500", "keepcore=0x1", "noaslr"])
}

#[test]
fn group_and_session_are_inherited() -> Result<()> {
    sees_the_same(&["group"])?;
    sees_the_same(&["session"])
}

#[test]
fn the_working_directory_may_be_gone() -> Result<()> {
    let gone = tempfile::tempdir()?;
    let script =
        "cd \"$1\" && rmdir \"$1\" && shift && \"$@\"; status=$?; mkdir -p \"$0\"; exit $status";
    let mut ends = Vec::new();
    for how in BOTH {
        let inner = Launch::command(["sh", "-c", "pwd -P 2>/dev/null; exit 9"])?;
        let directory = gone.path().join("gone");
        fs::create_dir_all(&directory)?;
        let mut outer =
            Launch::command(["sh", "-c", script])?.arg(directory.clone()).arg(directory);
        for word in inner.words(how)? {
            outer = outer.arg(word);
        }
        ends.push(outer.run(How::Bare)?);
        nobody_left(outer.marker())?;
    }
    assert_eq!(ends[0].status.code(), Some(9));
    ends[1].is_like(&ends[0])
}

#[test]
fn an_ordinary_user_sees_the_same() -> Result<()> {
    if is_root() {
        let launch = Launch::fixture("prints_itself")?.as_nobody()?;
        let bare = launch.run(How::Bare)?;
        let traced = launch.run(How::Traced)?;
        nobody_left(launch.marker())?;
        return same_text("what the command sees", &bare.stdout, &traced.stdout);
    }
    sees_the_same(&[])
}

#[test]
fn the_terminal_is_the_commands() -> Result<()> {
    let launch = Launch::fixture("prints_itself")?.given("terminal");
    let mut seen = Vec::new();
    for how in BOTH {
        let terminal = Terminal::start(&launch, how)?;
        let leader = terminal.pid();
        let (status, screen) = terminal.end()?;
        assert!(status.success(), "{how:?}: {screen}");
        seen.push(without_the_leader(screen.as_bytes(), leader));
        nobody_left(launch.marker())?;
    }
    same_text("what the command sees", &seen[0], &seen[1])
}

/// The environment is the same also where it is odd: no `=`, a name twice, no environment at all.
#[test]
fn an_empty_environment_stays_empty() -> Result<()> {
    let mut shown = Vec::new();
    for how in BOTH {
        let inner = Launch::command(["/usr/bin/env"])?;
        let mut outer = Launch::command(["env", "-i", "A=1"])?;
        for word in inner.words(how)? {
            outer = outer.arg(word);
        }
        shown.push(outer.run(How::Bare)?.text());
    }
    assert_eq!(shown[0], "A=1\n");
    assert_eq!(shown[0], shown[1]);
    Ok(())
}
