//! Case 17: gmtrace ends as the command does.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::gmtrace;
use gmtrace_tests::harness::{How, Launch, same_end};
use gmtrace_tests::processes::nobody_left;

#[test]
fn each_of_the_256_codes_comes_back() -> Result<()> {
    for code in 0..256 {
        let launch = Launch::fixture("exits_with")?.arg(code.to_string());
        let traced = launch.run(How::Traced)?;
        assert_eq!(traced.status.code(), Some(code));
        assert_eq!(traced.recording()?.end["exit"]["code"], code);
    }
    Ok(())
}

/// Stop signals stop, and are case 2.
#[test]
fn each_deadly_signal_comes_back() -> Result<()> {
    for signal in (1..=64).filter(|signal| !(19..=22).contains(signal)) {
        let launch = Launch::fixture("dies_by")?.arg(signal.to_string()).given("limit=4:0");
        launch.runs_alike().with_context(|| format!("signal {signal}"))?;
    }
    Ok(())
}

/// The command may leave its core; gmtrace dies by the same signal and leaves none over it.
#[test]
fn only_the_command_leaves_a_core() -> Result<()> {
    for signal in ["3", "4", "6", "8", "11"] {
        let launch = Launch::fixture("dies_by")?.arg(signal).given("limit=4:max");
        let launch = {
            let room = launch.room().display().to_string();
            launch.given(format!("dir={room}"))
        };
        let cores = |how| -> Result<usize> {
            let outcome = launch.run(how)?;
            assert_eq!(outcome.status.signal(), Some(signal.parse()?));
            ensure!(
                how == How::Bare || !outcome.status.core_dumped(),
                "signal {signal}: gmtrace dumped core"
            );
            let mut count = 0;
            for entry in fs::read_dir(launch.room())? {
                let path = entry?.path();
                if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")) {
                    fs::remove_file(path)?;
                    count += 1;
                }
            }
            Ok(count)
        };
        assert_eq!(cores(How::Bare)?, cores(How::Traced)?, "signal {signal}");
    }
    Ok(())
}

/// A command that cannot be executed ends like `env COMMAND`, which searches PATH and gives a script without `#!` to sh.
#[test]
fn what_cannot_be_executed_ends_as_with_env() -> Result<()> {
    let room = tempfile::tempdir()?;
    let place = |name: &str| room.path().join(name).into_os_string();
    write(&place("plain"), "no program\n", 0o644)?;
    write(&place("script"), "echo \"script $1\"; exit 23\n", 0o755)?;
    write(&place("lost"), "#!/does/not/exist\n", 0o755)?;
    write(&place("empty"), "", 0o755)?;
    symlink("loop", place("loop"))?;
    let cases = [
        (OsString::from("gmtrace-has-no-such-command"), 127),
        (place("missing"), 127),
        (OsString::new(), 127),
        (place("plain"), 126),
        (room.path().into(), 126),
        (place("plain/below"), 126),
        (place("loop"), 126),
        (place("lost"), 127),
        (place("script"), 23),
        (place("empty"), 0),
    ];
    for (command, expected) in cases {
        let env = Launch::command([OsString::from("env"), command.clone(), "word".into()])?
            .run(How::Bare)?;
        let launch = Launch::command([command.clone()])?.arg("word");
        let traced = launch.run(How::Traced)?;
        assert_eq!(env.status.code(), Some(expected), "env {command:?}");
        same_end(env.status, traced.status).with_context(|| format!("{command:?}"))?;
        assert_eq!(env.stdout, traced.stdout, "{command:?}");
        ensure!(
            env.stderr.is_empty() == traced.stderr.is_empty(),
            "{command:?}: {}",
            String::from_utf8_lossy(&traced.stderr)
        );
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// PATH is searched as execvp(3) does: a file that may not be executed is remembered while the search goes on.
#[test]
fn path_is_searched_as_env_does() -> Result<()> {
    let room = tempfile::tempdir()?;
    let (first, second) = (room.path().join("first"), room.path().join("second"));
    fs::create_dir(&first)?;
    fs::create_dir(&second)?;
    write(first.join("found").as_os_str(), "", 0o644)?;
    write(second.join("found").as_os_str(), "#!/bin/sh\nexit 21\n", 0o755)?;
    write(first.join("refused").as_os_str(), "", 0o644)?;
    let path = format!("{}:{}:/usr/bin:/bin", first.display(), second.display());
    for (name, code) in [("found", 21), ("refused", 126), ("nowhere", 127)] {
        let traced = Launch::command([name])?.env("PATH", &path).run(How::Traced)?;
        assert_eq!(traced.status.code(), Some(code), "{name}");
    }
    Ok(())
}

/// Usage errors end with 125 before anything runs, and name the right form.
#[test]
fn usage_errors_end_with_125() -> Result<()> {
    let room = tempfile::tempdir()?;
    let ran = room.path().join("ran");
    let touch =
        ["--", "touch"].map(OsString::from).into_iter().chain([ran.clone().into_os_string()]);
    let touch: Vec<OsString> = touch.collect();
    let with = |words: &[&str]| {
        words.iter().map(OsString::from).chain(touch.iter().cloned()).collect::<Vec<_>>()
    };
    let cases = [
        Vec::new(),
        with(&["--no-such-option"]),
        with(&["--stall-after", "soon"]),
        with(&["-o", "/does/not/exist/run.jsonl"]),
        with(&["-o", "run.unknown"]),
    ];
    for words in cases {
        let outcome =
            Launch::command([OsString::from(gmtrace()?)].into_iter().chain(words.clone()))?
                .run(How::Bare)?;
        assert_eq!(outcome.status.code(), Some(125), "{words:?}");
        ensure!(!outcome.stderr.is_empty() && outcome.stdout.is_empty(), "{words:?}");
        ensure!(!ran.exists(), "{words:?} ran the command");
    }
    Ok(())
}

fn write(path: &std::ffi::OsStr, text: &str, mode: u32) -> Result<()> {
    // By a shell, so that no descriptor open for writing can slip into a test's child and make it ETXTBSY.
    let script = "printf %s \"$2\" > \"$1\"";
    ensure!(
        std::process::Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(path)
            .arg(text)
            .status()?
            .success()
    );
    Ok(fs::set_permissions(Path::new(path), fs::Permissions::from_mode(mode))?)
}
