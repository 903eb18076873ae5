//! The options of a run: what ends, with which status, and what is said.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    reason = "tests read as sentences, and may end by a panic"
)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::gmtrace;
use gmtrace_tests::harness::is_root;
use gmtrace_tests::processes::await_that;
use serde_json::Value;

/// Runs gmtrace with these words, in an environment without settings of its own.
fn run(words: &[&str]) -> Result<Output> {
    prepare(words)?.output().context("gmtrace")
}

fn prepare(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(gmtrace()?);
    command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("GMTRACE_STATE", "off");
    Ok(command)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The words end with this status, and nothing is on the command's standard output.
fn ends(words: &[&str], status: i32) -> Result<String> {
    let output = run(words)?;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
    assert_eq!(stdout(&output), "", "{words:?}");
    Ok(said)
}

#[track_caller]
fn says(said: &str, part: &str) {
    assert!(said.contains(part), "{part:?} is not in: {said}");
}

#[test]
fn a_timeout_reports_first_and_ends_the_command() -> Result<()> {
    let said = ends(&["--timeout", "1s", "sleep", "600"], 124)?;
    says(&said, "gmtrace: ending the command (--timeout).");
    says(&said, "gmtrace: ended by --timeout after 1 s");
    let report = said.find("sleep (pid").context("no report")?;
    assert!(report < said.find("ending the command").context("no end")?, "{said}");
    Ok(())
}

#[test]
fn who_does_not_listen_is_killed() -> Result<()> {
    let deaf = "trap '' TERM; while :; do sleep 0.1; done";
    let said = ends(&["--timeout", "500ms", "-k", "500ms", "sh", "-c", deaf], 137)?;
    says(&said, "SIGKILL");
    Ok(())
}

#[test]
fn another_signal_may_be_sent() -> Result<()> {
    let hears = "trap 'echo interrupted >&2; exit 9' INT; while :; do sleep 0.1; done";
    let said = ends(&["--timeout", "500ms", "--signal", "INT", "sh", "-c", hears], 124)?;
    says(&said, "interrupted");
    ends(&["--timeout", "500ms", "--signal", "KILL", "sleep", "600"], 137)?;
    Ok(())
}

#[test]
fn a_stall_timeout_waits_for_a_stall() -> Result<()> {
    let said = ends(&["--stall-timeout", "1s", "--stall-after", "0", "sleep", "600"], 124)?;
    says(&said, "gmtrace: ended by --stall-timeout");
    // A process starts or ends every tenth of a second: that moves.
    let busy = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 0.1; done";
    ends(&["--stall-timeout", "1s", "sh", "-c", busy], 0)?;
    Ok(())
}

#[test]
fn a_run_that_stalled_on_the_way_may_fail() -> Result<()> {
    let stalls = ["--stall-after", "500ms", "-q"];
    let with = |option: &[&'static str], script: &'static str| {
        [&stalls[..], option, &["sh", "-c", script]].concat()
    };
    ends(&with(&[], "sleep 2"), 0)?;
    ends(&with(&["--fail-on-stall"], "sleep 2"), 3)?;
    ends(&with(&["--fail-on-stall=9"], "sleep 2"), 9)?;
    ends(&with(&["--fail-on-stall"], "sleep 2; exit 4"), 4)?;
    ends(&with(&["--fail-on-stall"], "true"), 0)?;
    Ok(())
}

#[test]
fn a_stall_is_told_to_who_wants_quiet() -> Result<()> {
    let said = ends(&["-q", "--stall-after", "500ms", "sleep", "2"], 0)?;
    says(&said, "sleeps for a set time");
    assert!(!said.contains("ended well"), "{said}");
    assert_eq!(ends(&["-q", "true"], 0)?, "");
    assert_eq!(ends(&["-q", "--stall-after", "0", "sleep", "1"], 0)?, "");
    Ok(())
}

#[test]
fn colours_only_where_they_are_wanted() -> Result<()> {
    let stall = ["--stall-after", "500ms", "sleep", "2"];
    let with = |option: &[&'static str]| ends(&[option, &stall[..]].concat(), 0);
    assert!(!with(&[])?.contains('\u{1b}'), "a file is no terminal");
    assert!(with(&["--color", "always"])?.contains('\u{1b}'));
    assert!(!with(&["--color", "never"])?.contains('\u{1b}'));
    Ok(())
}

#[test]
fn commands_that_cannot_run_have_the_status_of_env() -> Result<()> {
    let room = tempfile::tempdir()?;
    let script = room.path().join("script");
    fs::write(&script, "exit 77\n")?;
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for (command, status, words) in [
        ("there-is-no-such-program", 127, "there-is-no-such-program: No such file or directory"),
        ("/etc/passwd", 126, "/etc/passwd: Permission denied"),
        ("/etc", 126, "/etc: Permission denied"),
        // Without #! it is a script all the same (execvp(3), ENOEXEC).
        (&*script.to_string_lossy(), 77, "failed with status 77"),
    ] {
        assert_eq!(Command::new("env").arg(command).output()?.status.code(), Some(status));
        says(&ends(&[command], status)?, words);
    }
    Ok(())
}

/// Nothing has run before: a file that the command would have made is not there.
#[test]
fn usage_errors_name_the_right_form_before_anything_runs() -> Result<()> {
    let room = tempfile::tempdir()?;
    let ran = room.path().join("ran");
    let ran = ran.to_string_lossy();
    for (options, form) in [
        (&["--no-such-option"][..], "gmtrace [OPTIONS] [--] COMMAND [ARGS...]"),
        (&["--timeout", "5x"], "write 90, 90s, 1m30s, 500ms, 2h or 1d"),
        (&["--stall-after=-1"], "'-1' is no duration"),
        (&["--signal", "NOPE"], "write TERM, SIGTERM or 15"),
        (&["--fail-on-stall=300"], "0..=255"),
        (&["--backend", "telepathy"], "auto, ebpf, ptrace, proc"),
        (&["--color", "blue"], "auto, always, never"),
        (&["-o", "run.txt"], ".json .jsonl .html .pftrace .trace.json or .md"),
        (&["-o", "/no/such/directory/run.json"], "make it first"),
        (&["-o", "/tmp"], "the ending picks the form"),
        (&["-o", "-"], "as in -o run.json"),
        (&["-u", "no-such-user"], "there is no such user"),
    ] {
        let said = ends(&[options, &["touch", &ran]].concat(), 125)?;
        if options[0] == "-u" && !is_root() {
            says(&said, "try: sudo gmtrace -u");
        } else {
            says(&said, form);
        }
        ensure!(!Path::new(&*ran).exists(), "{options:?}: the command ran");
    }
    says(&ends(&[], 125)?, "gmtrace [OPTIONS] [--] COMMAND [ARGS...]");
    Ok(())
}

#[test]
fn words_that_are_not_in_this_version_say_so() -> Result<()> {
    says(&ends(&["doctor"], 125)?, "gmtrace -- doctor");
    Ok(())
}

#[test]
fn variables_are_set_and_taken_out() -> Result<()> {
    let words =
        ["-q", "-E", "NEW=a=b", "-E", "OLD", "--", "sh", "-c", "echo \"$NEW,${OLD-unset}\""];
    let output = prepare(&words)?.env("OLD", "here").output()?;
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "a=b,unset\n"));
    Ok(())
}

/// What gmtrace is told by variables is not passed over to options that were given.
#[test]
fn options_have_variables() -> Result<()> {
    let timed = |words: &[&str]| {
        Ok::<_, anyhow::Error>(prepare(words)?.env("GMTRACE_TIMEOUT", "500ms").output()?)
    };
    assert_eq!(timed(&["sleep", "600"])?.status.code(), Some(124));
    assert_eq!(timed(&["--timeout", "1h", "true"])?.status.code(), Some(0));
    let wrong = prepare(&["true"])?.env("GMTRACE_TIMEOUT", "soon").output()?;
    assert_eq!(wrong.status.code(), Some(125));
    Ok(())
}

#[test]
fn another_user_runs_the_command() -> Result<()> {
    if !is_root() {
        says(&ends(&["-u", "nobody", "id"], 125)?, "sudo");
        return Ok(());
    }
    let output =
        run(&["-q", "-u", "nobody", "sh", "-c", "id -un; echo $USER $LOGNAME; cd / && pwd"])?;
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "nobody\nnobody nobody\n/\n")
    );
    Ok(())
}

/// The timeline of a run with these options, and its last words.
fn timeline(options: &[&str], command: &[&str]) -> Result<(Value, String)> {
    let room = tempfile::tempdir()?;
    let file = room.path().join("run.json");
    let name = file.to_string_lossy();
    let words = [options, &["-o", &name, "--"], command].concat();
    let output = run(&words)?;
    ensure!(output.status.success(), "{words:?}: {}", stderr(&output));
    Ok((serde_json::from_str(&fs::read_to_string(file)?)?, stderr(&output)))
}

#[test]
fn children_are_watched_unless_asked_not_to() -> Result<()> {
    let script = ["sh", "-c", "sleep 0.1; true"];
    let count = |timeline: &Value| timeline["processes"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&timeline(&[], &script)?.0), 2);
    assert_eq!(count(&timeline(&["-f"], &script)?.0), 2);
    assert_eq!(count(&timeline(&["--no-children"], &script)?.0), 1);
    Ok(())
}

#[test]
fn the_backend_is_named_with_what_it_cannot_see() -> Result<()> {
    let (with, _) = timeline(&["--backend", "ptrace"], &["true"])?;
    assert_eq!(with["backend"]["name"], "ptrace");
    let (best, _) = timeline(&[], &["true"])?;
    // Where eBPF is permitted, which is not everywhere where root is.
    let why = best["backend"]["why"].to_string();
    match best["backend"]["name"].as_str() {
        Some("ebpf") => ensure!(is_root(), "{why}"),
        Some("ptrace") => says(&why, "eBPF"),
        other => anyhow::bail!("{other:?}: {why}"),
    }
    let (without, said) =
        timeline(&["--backend", "proc", "--stall-after", "500ms"], &["sleep", "2"])?;
    assert_eq!(without["backend"]["name"], "proc");
    says(&without["backend"]["unseen"].to_string(), "connects, look-ups and locks as they happen");
    assert_eq!(without["findings"][0]["code"], "not-go", "{without:#}");
    says(&said, "clock_nanosleep");
    let (exact, _) = timeline(&["--exact-reads"], &["true"])?;
    assert_eq!(exact["backend"]["name"], "ptrace", "no other stops at reads");
    assert!(!exact["backend"]["unseen"].to_string().contains("single reads"), "{exact:#}");
    Ok(())
}

#[test]
fn the_pid_stands_in_the_name_of_a_file() -> Result<()> {
    let room = tempfile::tempdir()?;
    let file = room.path().join("run-{pid}.json");
    let output = run(&["-q", "-o", &file.to_string_lossy(), "sh", "-c", "echo $$"])?;
    let pid = stdout(&output).trim().to_owned();
    let text = fs::read_to_string(room.path().join(format!("run-{pid}.json")))?;
    let timeline: Value = serde_json::from_str(&text)?;
    assert_eq!(timeline["command"]["pid"].to_string(), pid);
    Ok(())
}

/// The timeline is there while the command hangs. When the one that the shell knows is killed, the other one writes the last.
#[test]
fn a_job_that_is_killed_leaves_its_answer() -> Result<()> {
    let room = tempfile::tempdir()?;
    let file = room.path().join("run.json");
    let read = || serde_json::from_slice::<Value>(&fs::read(&file).ok()?).ok();
    let output = file.to_string_lossy();
    let words = ["--backend", "ptrace", "--stall-after", "500ms", "-o", &output, "sleep", "600"];
    let mut child = prepare(&words)?.spawn()?;
    let first = await_that("the first timeline", read)?;
    assert_eq!(
        (&first["complete"], &first["stalls"][0]["end_ns"]),
        (&Value::Bool(false), &Value::Null)
    );
    child.kill()?;
    assert_eq!(child.wait()?.signal(), Some(9));
    let last = await_that("the last timeline", || read().filter(|last| last["complete"] == true))?;
    assert_eq!(last["command"]["exit"]["signal"], "SIGKILL");
    assert_eq!(last["findings"][0]["code"], first["findings"][0]["code"]);
    Ok(())
}
