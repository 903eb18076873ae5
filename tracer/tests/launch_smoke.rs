//! The essentials of a launch, by the stand-in binary `examples/launch.rs`. The hard cases have fixtures of their own in `tests/`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may fail.

use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The example beside this test, which cargo builds with it.
fn launcher() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/launch")
}

/// What a command did and what was seen of it.
struct Run {
    output: Output,
    events: Vec<Value>,
}

impl Run {
    fn of(kind: &'static str) -> impl Fn(&&Value) -> bool {
        move |event| event["type"] == kind
    }

    fn count(&self, kind: &'static str) -> usize {
        self.events.iter().filter(Run::of(kind)).count()
    }

    fn first(&self, kind: &'static str) -> &Value {
        self.events.iter().find(Run::of(kind)).unwrap_or(&Value::Null)
    }

    fn last(&self, kind: &'static str) -> &Value {
        self.events.iter().rfind(Run::of(kind)).unwrap_or(&Value::Null)
    }
}

fn launch(options: &[&str], command: &[&str]) -> Run {
    let recording = tempfile::NamedTempFile::new().unwrap();
    let mut launch = Command::new(launcher());
    launch.arg("-o").arg(recording.path()).args(options).arg("--").args(command);
    let output = launch.env("RUST_BACKTRACE", "0").output().unwrap();
    let text = std::fs::read_to_string(recording.path()).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Run { output, events }
}

#[test]
fn a_command_ends_with_its_own_status() {
    for code in [0, 1, 42, 126, 127, 255] {
        let run = launch(&[], &["sh", "-c", &format!("exit {code}")]);
        assert_eq!(run.output.status.code(), Some(code));
        assert_eq!(run.last("process-exit")["exit"], json!({ "code": code }));
    }
}

#[test]
fn a_command_killed_by_a_signal_is_mirrored() {
    // Not SIGHUP, which a run under nohup(1) hands on ignored.
    for signal in [2, 3, 6, 9, 11, 13, 15, 34, 64] {
        let run = launch(&[], &["sh", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(run.output.status.signal(), Some(signal));
        assert!(!run.output.status.core_dumped());
        assert!(run.last("process-exit")["exit"]["signal"].is_string());
    }
}

#[test]
fn a_command_that_cannot_run_is_reported_as_by_env() {
    let run = launch(&[], &["no-such-command"]);
    assert_eq!(run.output.status.code(), Some(127));
    let said = String::from_utf8_lossy(&run.output.stderr).into_owned();
    assert_eq!(said, "gmtrace: no-such-command: No such file or directory\n");
    assert_eq!(launch(&[], &["/"]).output.status.code(), Some(126));
}

#[test]
fn a_tree_is_followed_and_its_errors_are_seen() {
    let run = launch(&[], &["sh", "-c", "(cat /nonexistent; exit 3); echo out"]);
    assert_eq!(run.output.stdout, b"out\n");
    assert!(run.count("process-start") >= 2, "{:?}", run.events);
    let said = run.events.iter().filter(Run::of("output")).map(|event| event["text"].as_str());
    let said: String = said.map(Option::unwrap).collect();
    assert_eq!(said.as_bytes(), run.output.stderr, "what was seen is what was written");
}

#[test]
fn with_no_children_the_command_alone_is_told() {
    let run = launch(&["--no-children"], &["sh", "-c", "cat /nonexistent; exit 4"]);
    assert_eq!(run.output.status.code(), Some(4));
    assert_eq!((run.count("process-start"), run.count("exec"), run.count("output")), (1, 1, 0));
}

#[test]
fn a_lock_is_told_with_its_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let run = launch(&[], &["flock", path, "true"]);
    assert!(run.output.status.success());
    assert_eq!(run.first("lock-request")["path"], path);
    assert_eq!(run.first("lock-end")["result"], "ok");
    assert_eq!((run.count("lock-request"), run.count("lock-end")), (1, 1));
}

#[test]
fn a_failing_tracer_lets_the_command_go_on() {
    let script = "for i in 1 2 3 4 5 6; do cat /nonexistent; done; exit 9";
    for after in [0, 7, 20, 33] {
        let run = launch(&["--fail-after", &after.to_string()], &["sh", "-c", script]);
        assert_eq!(run.output.status.code(), Some(9), "after {after} stops");
        let said = String::from_utf8_lossy(&run.output.stderr).into_owned();
        assert_eq!(said.matches("/nonexistent").count(), 6, "after {after} stops: {said}");
        assert_eq!(run.last("lost")["what"], "event");
        assert_eq!(run.last("process-exit")["exit"], json!({"code": 9}));
    }
}

#[test]
fn a_command_that_is_not_traced_runs_all_the_same() {
    let run = launch(&["--backend", "proc"], &["sh", "-c", "cat /nonexistent; exit 5"]);
    assert_eq!(run.output.status.code(), Some(5));
    assert_eq!(run.last("process-exit")["exit"], json!({"code": 5}));
    assert_eq!(run.count("output"), 0);
}

#[test]
fn a_command_runs_as_another_user_and_is_traced_all_the_same() {
    if !nix::unistd::geteuid().is_root() {
        return; // Only root can be somebody else.
    }
    let run = launch(&["--user", "65534:65534"], &["sh", "-c", "id -u; id -G; cat /nonexistent"]);
    assert_eq!(run.output.stdout, b"65534\n65534\n");
    assert!(run.count("output") > 0, "{:?}", run.events);
}

#[test]
fn go_runs_as_ever() {
    let bare = Command::new("go").args(["list", "std"]).output().unwrap();
    let run = launch(&[], &["go", "list", "std"]);
    assert_eq!(run.output, bare);
    assert_eq!(run.first("exec")["role"], "go");
}
