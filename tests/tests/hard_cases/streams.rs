//! Standard input, output and error are the command's alone.

use std::fs::{self, File};
use std::process::Stdio;

use anyhow::{Result, ensure};
use gmtrace_tests::harness::{BOTH, How, Launch, Running, touch};
use gmtrace_tests::processes::{await_that, nobody_left};
use gmtrace_tests::recording::Recording;
use gmtrace_tests::terminal::Terminal;

/// Every byte value, in blocks larger than a pipe.
fn bytes() -> Vec<u8> {
    (0..1_500_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .collect()
}

#[test]
fn every_byte_passes_unchanged() -> Result<()> {
    let traced = Launch::command(["sh", "-c", "tee /dev/stderr"])?.input(bytes()).runs_alike()?;
    ensure!(traced.stdout == bytes() && traced.stderr == bytes());
    Ok(())
}

/// The same through pipes, which fill up.
#[test]
fn every_byte_passes_through_pipes() -> Result<()> {
    let script = "head -c 1500000 \"$0\" | \"$@\" | cksum";
    let mut shown = Vec::new();
    for how in BOTH {
        let inner = Launch::command(["cat"])?;
        let source = inner.room().join("source");
        fs::write(&source, bytes())?;
        let mut outer = Launch::command(["sh", "-c", script])?.arg(source);
        for word in inner.words(how)? {
            outer = outer.arg(word);
        }
        shown.push(outer.run(How::Bare)?.text());
        nobody_left(outer.marker())?;
    }
    assert_eq!(shown[0], shown[1]);
    Ok(())
}

/// Case 25.
#[test]
fn a_writer_whose_reader_has_gone_ends() -> Result<()> {
    let script = "\"$0\" \"$@\" | head -n 1; echo \"${PIPESTATUS[0]}\"";
    let mut shown = Vec::new();
    for how in BOTH {
        let mut outer = Launch::command(["bash", "-c", script])?;
        let inner = Launch::command(["yes"])?;
        for word in inner.words(how)? {
            outer = outer.arg(word);
        }
        shown.push(outer.run(How::Bare)?.text());
        nobody_left(outer.marker())?;
    }
    assert_eq!(shown[0], "y\n141\n");
    assert_eq!(shown[0], shown[1]);
    Ok(())
}

/// Case 25: what the command closes is closed, though gmtrace is still there.
#[test]
fn closing_an_end_closes_it_for_the_other_side() -> Result<()> {
    for how in BOTH {
        let launch = Launch::fixture("closes_output")?;
        let end = launch.room().join("end");
        let launch = launch.arg(end.clone());
        let mut running = launch.start(how)?;
        assert_eq!(running.line()?, "closing", "{how:?}");
        assert_eq!(running.line()?, "", "{how:?}");
        // Blocks for ever where somebody who does not read has it open; fails at once where nobody has.
        let refused = loop {
            if let Err(error) = running.write(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(refused.kind(), std::io::ErrorKind::BrokenPipe, "{how:?}");
        touch(end)?;
        assert_eq!(running.end()?.code(), Some(5), "{how:?}");
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// Case 27: gmtrace cannot say anything, and ends as the command does all the same.
#[test]
fn a_full_or_broken_standard_error_changes_no_status() -> Result<()> {
    let (reader, broken) = std::io::pipe()?;
    drop(reader);
    let full = File::options().write(true).open("/dev/full")?;
    for stderr in [Stdio::from(broken), Stdio::from(full)] {
        let launch = Launch::fixture("exits_with")?.arg("7").plainly();
        let mut command = launch.prepare(How::Traced)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        assert_eq!(Running::spawn(command, launch.marker())?.end()?.code(), Some(7));
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// A recording that cannot be written harms nothing, and is mentioned.
#[test]
fn a_full_disk_under_the_recording_harms_nothing() -> Result<()> {
    let launch = Launch::fixture("threads_at_once")?.arg("20");
    let bare = launch.run(How::Bare)?;
    let words = ["-q", "-o", "/dev/fd/9", "--"].map(std::ffi::OsString::from);
    let command = [gmtrace_tests::fixtures::gmtrace()?.into()].into_iter().chain(words);
    let command =
        command.chain([gmtrace_tests::fixtures::fixture("threads_at_once")?.into(), "20".into()]);
    let traced = Launch::command(["sh", "-c", "exec 9>/dev/full; exec \"$0\" \"$@\""])?;
    let traced = command.fold(traced, Launch::arg).run(How::Bare)?;
    assert_eq!(traced.stdout, bare.stdout);
    assert_eq!(traced.status, bare.status);
    ensure!(!traced.stderr.is_empty(), "nothing is said about it");
    nobody_left(launch.marker())
}

/// What is recorded of the standard error of `says.c`.
fn said(words: &[&str]) -> Result<(String, Recording)> {
    let launch = words.iter().copied().fold(Launch::fixture("says")?, Launch::arg);
    let recording = launch.runs_alike()?.recording()?;
    let text = recording.of("output").filter_map(|event| event["text"].as_str()).collect();
    Ok((text, recording))
}

/// A write is no line: a secret may come in two of them.
#[test]
fn a_secret_in_two_writes_is_recorded_in_neither() -> Result<()> {
    let (text, recording) =
        said(&["2dial https://user:hun", "2ter2@proxy.example.com/x\nend of it"])?;
    ensure!(text.contains("@proxy.example.com/x\n") && text.ends_with("end of it"), "{text:?}");
    for half in ["hun", "ter2"] {
        ensure!(!recording.mentions(&["output"], half), "{text:?}");
    }
    Ok(())
}

/// The last words of a program, without the end of a line, where its process becomes another, and where it ends.
#[test]
fn an_unfinished_line_is_recorded_before_its_writer_ends() -> Result<()> {
    let (text, recording) = said(&["2first", "exec", "2second", "kill"])?;
    assert_eq!(text, "firstsecond");
    let at = |text: &str| recording.events.iter().position(|event| event["text"] == text);
    let last = |kind: &str| recording.events.iter().rposition(|event| event["type"] == kind);
    ensure!(at("first").is_some() && at("first") < last("exec"), "{:?}", recording.events);
    ensure!(at("second").is_some() && at("second") < last("process-exit"));
    Ok(())
}

/// A prompt has no end: it is told while its writer waits.
#[test]
fn a_prompt_is_recorded_while_it_stands() -> Result<()> {
    let launch = Launch::fixture("says")?.arg("2Username: ").arg("read");
    let mut running = launch.start(How::Traced)?;
    await_that("the prompt is in the recording", || {
        let recording = fs::read_to_string(launch.room().join("recording.jsonl")).ok()?;
        recording.contains("Username: ").then_some(())
    })?;
    running.write(b"\n")?;
    ensure!(running.end()?.success());
    nobody_left(launch.marker())
}

/// Standard output is data: that something was written is recorded, and how it ended, not what. Seen on a terminal alone.
#[test]
fn standard_output_is_not_recorded() -> Result<()> {
    let words = ["1datum\n", "1half", "2said\n"];
    let says = Launch::fixture("says")?;
    let path = says.room().join("run.jsonl");
    let launch = Launch::command([gmtrace_tests::fixtures::gmtrace()?])?.arg("-o").arg(&path);
    let launch = launch.arg("--").arg(gmtrace_tests::fixtures::fixture("says")?);
    let launch = words.iter().copied().fold(launch, Launch::arg).given("terminal");
    let (status, screen) = Terminal::start(&launch, How::Bare)?.end()?;
    ensure!(status.success() && screen.contains("datum") && screen.contains("half"), "{screen}");
    nobody_left(launch.marker())?;
    let recording = Recording::read(&path)?;
    let written: Vec<_> = recording
        .of("output")
        .map(|event| (event["fd"].as_i64(), event["text"].as_str(), event["ends_line"].as_bool()))
        .collect();
    let line = |fd, text, ends_line| (Some(fd), Some(text), Some(ends_line));
    assert_eq!(written, [line(1, "", true), line(1, "", false), line(2, "said\n", true)]);
    Ok(())
}
