//! What cannot be looked into is said in one sentence.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use gmtrace_tests::processes::{await_that, process};
use gmtrace_tests::zoo;

use crate::parts::{refused, stdout};

#[test]
fn what_is_no_process_id() -> Result<()> {
    assert_eq!(
        refused(&["-p", ""], 125)?,
        "gmtrace: -p: no process id is given; gmtrace ps lists the go commands that run\n"
    );
    assert_eq!(
        refused(&["-p", "go"], 125)?,
        "gmtrace: -p go: that is no process id; write -p 41190 or -p 41190,41207\n"
    );
    assert!(refused(&["-p"], 125)?.contains("a value is required"));
    assert!(refused(&["-p", "0"], 125)?.contains("-p 0: "));
    assert!(refused(&["-p", "-5"], 125)?.contains("-p -5: "));
    Ok(())
}

#[test]
fn options_of_a_command_name_the_right_form() -> Result<()> {
    for (words, says) in [
        (&["-p", "1", "--timeout", "3s"][..], "with -p, to stop looking, --duration"),
        (&["-p", "1", "--stall-timeout", "3s"], "ends nothing that it did not start"),
        (&["-p", "1", "--backend", "ptrace"], "what runs already is only read"),
        (&["-p", "1", "--exact-reads"], "never stopped"),
        (&["-p", "1", "-E", "A=1"], "keeps its environment"),
        (&["-p", "1", "-u", "nobody"], "sudo -u USER gmtrace -p PID"),
        (&["-p", "1", "true"], "give -p PID or a command, not both"),
        (&["-p", "1", "ps"], "give -p PID or a command, not both"),
        (&["--watch", "true"], "gmtrace -p PID --watch"),
        (&["--duration", "1s", "true"], "gmtrace -p PID --duration"),
        (&["-F", "json", "true"], "-o run.json"),
        (&["-p", "1", "-F", "json", "-o", "-"], "both write to standard output"),
        (&["-p", "1", "-o", "run.txt"], "the ending picks the form"),
    ] {
        let said = refused(words, 125)?;
        assert!(said.starts_with("gmtrace: ") && said.contains(says), "{words:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_process_that_is_not_there() -> Result<()> {
    let pid = unused()?;
    assert_eq!(
        refused(&["-p", &pid.to_string()], 1)?,
        format!("gmtrace: there is no process {pid}; gmtrace ps lists the go commands that run\n")
    );
    Ok(())
}

/// No process has the greatest number that there may be.
fn unused() -> Result<i32> {
    let most: i32 = fs::read_to_string("/proc/sys/kernel/pid_max")?.trim().parse()?;
    Ok(most)
}

#[test]
fn a_thread_of_the_kernel() -> Result<()> {
    let Some(kthreadd) = process(2).filter(|process| process.name == "kthreadd") else {
        println!("not tested: this pid namespace has no threads of the kernel");
        return Ok(());
    };
    let said = refused(&["-p", &kthreadd.pid.to_string()], 1)?;
    assert_eq!(said, "gmtrace: 2 (kthreadd) is a thread of the kernel: no command runs in it\n");
    Ok(())
}

#[test]
fn a_zombie() -> Result<()> {
    let mut child = Command::new("true").stdin(Stdio::null()).spawn()?;
    let pid = child.id().cast_signed();
    await_that("it has ended", || process(pid).filter(|process| process.state == 'Z'))?;
    let said = refused(&["-p", &pid.to_string()], 1)?;
    child.wait()?;
    let parent = std::process::id();
    assert_eq!(
        said,
        format!("gmtrace: {pid} (true) has ended; its parent {parent} has not asked how\n")
    );
    Ok(())
}

#[test]
fn gmtrace_itself() -> Result<()> {
    let gmtrace = gmtrace_tests::fixtures::gmtrace()?;
    // The shell becomes gmtrace, which keeps its number.
    let output = Command::new("sh").args(["-c", "exec \"$0\" -p $$"]).arg(gmtrace).output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.ends_with(" is this gmtrace itself\n"), "{said}");
    Ok(())
}

/// It is there for the first reading, and ends when it sees that somebody looks: whoever holds a lock can be seen to look.
#[test]
fn a_process_that_ends_meanwhile() -> Result<()> {
    let mut child = Command::new("sleep").arg("600").spawn()?;
    let pid = child.id().to_string();
    let gmtrace = gmtrace_tests::fixtures::gmtrace()?;
    let look =
        Command::new(gmtrace).args(["-p", &pid, "-F", "jsonl"]).stdout(Stdio::piped()).spawn()?;
    let mut look = look;
    let mut lines = std::io::BufReader::new(look.stdout.take().context("no output")?);
    let mut seen = String::new();
    while !seen.contains("\"snapshot\"") {
        assert!(std::io::BufRead::read_line(&mut lines, &mut seen)? > 0, "{seen}");
    }
    child.kill()?;
    child.wait()?;
    std::io::Read::read_to_string(&mut lines, &mut seen)?;
    assert_eq!(look.wait()?.code(), Some(1), "{seen}");
    assert!(seen.contains("\"process-gone\"") || seen.contains("\"process-exit\""), "{seen}");
    Ok(())
}

/// A shell below which no go command runs.
#[test]
fn what_is_not_go_is_said_to_be_none() -> Result<()> {
    let mut child = Command::new("sleep").arg("600").spawn()?;
    let output = zoo::gmtrace(["-p", &child.id().to_string()])?;
    child.kill()?;
    child.wait()?;
    assert!(output.status.success());
    let said = stdout(&output);
    assert!(said.contains("sleep") && said.contains("is no go command"), "{said}");
    Ok(())
}
