//! What `-p` is told, and what it writes.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use gmtrace_tests::fixtures;
use gmtrace_tests::processes::await_that;
use gmtrace_tests::zoo;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::parts::{Silent, ZIP, stdout};

#[test]
fn the_answer_of_the_voice() -> Result<()> {
    let silent = Silent::new()?;
    let hang = silent.hang()?;
    let output = zoo::gmtrace(["-p", &hang.pid().to_string()])?;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let said = stdout(&output);
    let labels: Vec<&str> = said
        .lines()
        .skip(2)
        .filter_map(|line| line.get(2..11))
        .map(str::trim)
        .filter(|label| !label.is_empty())
        .collect();
    let order = ["since", "modules", "server", "seen", "checked", "try", "unseen"];
    let told: Vec<&str> = labels.into_iter().filter(|label| order.contains(label)).collect();
    assert_eq!(told, order, "{said}");
    let first = said.lines().next().context("nothing was said")?;
    let (pid, address) = (hang.pid(), silent.proxy.address());
    assert_eq!(first, format!("go mod download (pid {pid}) is waiting for {address} to answer."));
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    Ok(())
}

/// A shell that runs two go commands: each gets its answer, the one first that the other waits for.
#[test]
fn of_a_shell_the_go_commands_below_it() -> Result<()> {
    let silent = Silent::new()?;
    let script = "go mod download & go mod download & wait";
    let shell = silent.project.command(Path::new("/bin/sh"), ["-c", script]);
    let shell = zoo::hang(shell.proxy(&silent.proxy.url()))?;
    silent.proxy.wait_for(ZIP)?;
    let lock = silent.project.modcache().join("cache/download/example.com/m000/@v/v1.0.0.lock");
    gmtrace_tests::holder::wait_for_queue(&lock)?;
    let answer = shell.look()?;
    let findings = answer.timeline["findings"].as_array().context("no findings")?;
    assert_eq!(findings.len(), 2, "{answer}");
    answer.expect("http-silent").symptom("http-silent").says("waits for its lock");
    let behind = &findings[1];
    assert_eq!(
        (behind["code"].as_str(), behind["symptom"].as_str()),
        (Some("http-silent"), Some("lock-held"))
    );
    assert!(answer.stderr.matches("go mod download (pid ").count() >= 3, "{answer}");
    Ok(())
}

#[test]
fn all_formats() -> Result<()> {
    let silent = Silent::new()?;
    let pid = silent.hang_for_ever()?;
    for (format, begins) in [
        ("json", "{"),
        ("jsonl", "{\"type\":\"header\""),
        ("html", "<!doctype html>"),
        ("chrome", "["),
        ("markdown", "#"),
        ("text", "go mod download (pid "),
    ] {
        let output = zoo::gmtrace(["-p", &pid.0, "-F", format])?;
        let said = stdout(&output);
        assert!(output.status.success(), "{format}: {output:?}");
        assert!(said.to_lowercase().starts_with(begins), "{format}: {said}");
        let told = if format == "jsonl" { "\"type\":\"end\"" } else { "http-silent" };
        assert!(said.contains(told), "{format}: {said}");
    }
    let timeline = stdout(&zoo::gmtrace(["-p", &pid.0, "-o", "-"])?);
    let timeline: Value = serde_json::from_str(&timeline)?;
    assert_eq!(
        (timeline["mode"].as_str(), timeline["complete"].as_bool()),
        (Some("attach"), Some(true))
    );
    assert_eq!(timeline["verdict"]["state"], "stalled");
    assert_eq!(timeline["processes"][0]["pid"].to_string(), pid.0);
    Ok(())
}

#[test]
fn a_stall_may_be_a_status() -> Result<()> {
    let silent = Silent::new()?;
    let pid = silent.hang_for_ever()?;
    let status = |words: &[&str]| -> Result<Option<i32>> {
        let all = ["-p", &pid.0].iter().chain(words).copied().collect::<Vec<_>>();
        Ok(zoo::gmtrace(all)?.status.code())
    };
    assert_eq!(status(&["--fail-on-stall", "--stall-after", "10ms"])?, Some(3));
    assert_eq!(status(&["--fail-on-stall=7", "--stall-after", "10ms"])?, Some(7));
    assert_eq!(status(&["--fail-on-stall", "--stall-after", "1h"])?, Some(0));
    assert_eq!(status(&["--stall-after", "10ms"])?, Some(0));
    Ok(())
}

#[test]
fn a_watch_tells_how_it_goes_on_until_the_end() -> Result<()> {
    let silent = Silent::new()?;
    let hang = silent.hang()?;
    let watch = Watched::start(&["-p", &hang.pid().to_string(), "--watch"])?;
    watch.wait_for("checked")?;
    silent.proxy.faults().lift();
    hang.succeeds()?;
    let (status, said) = watch.end()?;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.trim_end().ends_with("mod download has ended."), "{said}");
    Ok(())
}

#[test]
fn a_watch_ends_by_ctrl_c_and_after_its_duration() -> Result<()> {
    let silent = Silent::new()?;
    let pid = silent.hang_for_ever()?;
    let watch = Watched::start(&["-p", &pid.0, "--watch"])?;
    watch.wait_for("checked")?;
    watch.interrupt()?;
    let (status, said) = watch.end()?;
    assert_eq!(status.code(), Some(0), "{said}");
    let (status, said) = Watched::start(&["-p", &pid.0, "--duration", "1500ms"])?.end()?;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("http-silent"), "{said}");
    Ok(())
}

/// Looked at with a threshold that is reached while gmtrace watches: a stall, and its end.
#[test]
fn a_watch_tells_a_stall_that_begins_and_ends() -> Result<()> {
    let silent = Silent::new()?;
    let hang = silent.hang()?;
    let pid = hang.pid().to_string();
    let watch = Watched::start(&["-p", &pid, "--watch", "--stall-after", "1s"])?;
    watch.wait_for("http-silent")?;
    hang.signal(Signal::SIGSTOP)?;
    watch.wait_for("is stopped.")?;
    hang.signal(Signal::SIGCONT)?;
    silent.proxy.faults().lift();
    hang.succeeds()?;
    let (status, said) = watch.end()?;
    assert_eq!(status.code(), Some(0), "{said}");
    Ok(())
}

/// The process id of a command that hangs for as long as its place is there.
struct Hanging(String, #[expect(dead_code, reason = "it ends when this is dropped")] zoo::Hung);

impl Silent {
    fn hang_for_ever(&self) -> Result<Hanging> {
        let hang = self.hang()?;
        Ok(Hanging(hang.pid().to_string(), hang))
    }
}

/// A gmtrace that keeps on, in a process group of its own.
struct Watched {
    child: Child,
    room: tempfile::TempDir,
}

impl Watched {
    fn start(words: &[&str]) -> Result<Self> {
        let room = tempfile::tempdir()?;
        let child = Command::new(fixtures::gmtrace()?)
            .args(words)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(room.path().join("stdout"))?)
            .spawn()?;
        Ok(Self { child, room })
    }

    fn said(&self) -> String {
        fs::read_to_string(self.room.path().join("stdout")).unwrap_or_default()
    }

    fn wait_for(&self, text: &str) -> Result<()> {
        await_that(text, || self.said().contains(text).then_some(()))
    }

    /// As Ctrl-C in a terminal does.
    fn interrupt(&self) -> Result<()> {
        Ok(killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT)?)
    }

    fn end(mut self) -> Result<(ExitStatus, String)> {
        let status = self.child.wait()?;
        Ok((status, self.said()))
    }
}
