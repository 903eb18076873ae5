//! The columns: a command alone, and under each tool.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace::output_of;

/// One way to run a command.
pub(super) struct Column {
    pub(super) name: &'static str,
    tool: Tool,
}

enum Tool {
    Bare,
    Gmtrace { program: PathBuf, options: &'static [&'static str] },
    Strace { calls: &'static str },
}

/// What a tool writes in one run besides what it always writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// Nothing that can be left out.
    Nothing,
    /// Its events, as they happen.
    Events,
    /// Its events, and a timeline that counts the stops.
    Stops,
}

impl Column {
    /// The bare command first: it is what the others are compared with.
    pub(super) fn all(gmtrace: PathBuf) -> Vec<Self> {
        let strace = |name, calls| Self { name, tool: Tool::Strace { calls } };
        vec![
            Self { name: "bare", tool: Tool::Bare },
            Self::gmtrace("gmtrace", gmtrace.clone(), &["--backend", "ptrace"]),
            Self::gmtrace("gmtrace by eBPF", gmtrace, &["--backend", "ebpf"]),
            strace("strace", "connect,flock"),
            strace("strace with read", "connect,flock,read"),
        ]
    }

    /// gmtrace as it is, compared with gmtrace that reads no goroutines while the command moves.
    pub(super) fn sampler(gmtrace: PathBuf) -> Vec<Self> {
        vec![
            Self::gmtrace(
                "gmtrace --no-sampler",
                gmtrace.clone(),
                &["--backend", "ptrace", "--no-sampler"],
            ),
            Self::gmtrace("gmtrace", gmtrace, &["--backend", "ptrace"]),
        ]
    }

    fn gmtrace(name: &'static str, program: PathBuf, options: &'static [&'static str]) -> Self {
        Self { name, tool: Tool::Gmtrace { program, options } }
    }

    /// The program whose processes are the tool, and not the work.
    pub(super) fn tool(&self) -> Option<&Path> {
        match &self.tool {
            Tool::Bare => None,
            Tool::Gmtrace { program, .. } => Some(program),
            Tool::Strace { .. } => Some(Path::new("strace")),
        }
    }

    /// The words to type for `work`. strace always writes to `file`; gmtrace writes its recording
    /// there, and its timeline into [`timeline`].
    pub(super) fn command(&self, work: &[OsString], file: &Path, record: Record) -> Vec<OsString> {
        let mut words: Vec<OsString> = match &self.tool {
            Tool::Bare => Vec::new(),
            Tool::Gmtrace { program, options } => {
                let files: &[&Path] = match record {
                    Record::Nothing => &[],
                    Record::Events => &[file],
                    Record::Stops => &[file, &timeline(file)],
                };
                let output = files.iter().flat_map(|file| ["-o".into(), OsString::from(file)]);
                let words = [program.into(), "-q".into()].into_iter();
                let options = options.iter().map(OsString::from);
                words.chain(options).chain(output).chain(["--".into()]).collect()
            }
            Tool::Strace { calls } => {
                let trace = format!("trace={calls}").into();
                let words = ["strace", "--seccomp-bpf", "-f", "-e"].map(OsString::from);
                let file = ["-o".into(), file.into(), "--".into()];
                words.into_iter().chain([trace]).chain(file).collect()
            }
        };
        words.extend_from_slice(work);
        words
    }

    /// How many events the tool wrote to `file`. Fails when it lost something: then it did not do
    /// the work it is timed for.
    pub(super) fn events(&self, file: &Path, record: Record) -> Result<Option<u64>> {
        let text = || {
            let bytes = fs::read(file).with_context(|| format!("no {}", file.display()))?;
            anyhow::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        match self.tool {
            Tool::Gmtrace { .. } if record != Record::Nothing => read_recording(&text()?).map(Some),
            Tool::Strace { .. } => Ok(Some(count_lines(&text()?))),
            _ => Ok(None),
        }
    }

    /// How often gmtrace stopped the command, from the timeline beside `file`; strace does not tell.
    pub(super) fn stops(&self, file: &Path) -> Result<Option<u64>> {
        let Tool::Gmtrace { .. } = self.tool else { return Ok(None) };
        let timeline = timeline(file);
        let text = fs::read(&timeline).with_context(|| format!("no {}", timeline.display()))?;
        let timeline: Value = serde_json::from_slice(&text).context("the timeline")?;
        let stops = timeline.pointer("/totals/stops").and_then(Value::as_u64);
        Ok(Some(stops.context("the timeline counts no stops")?))
    }

    /// The version that the tool itself tells.
    pub(super) fn version(&self) -> Result<Option<String>> {
        let Some(tool) = self.tool() else { return Ok(None) };
        // Both print the version in the first line.
        let told = output_of(Command::new(tool).arg("--version"))?;
        Ok(told.lines().next().map(str::to_owned))
    }
}

fn count_lines(text: &str) -> u64 {
    text.lines().map(|_| 1).sum()
}

/// Where gmtrace writes its timeline when its recording goes to `file`.
pub(super) fn timeline(file: &Path) -> PathBuf {
    file.with_extension("json")
}

/// The events of a recording: it is a header, events, and an end that tells what was lost.
fn read_recording(text: &str) -> Result<u64> {
    let last = text.lines().last().context("the recording is empty")?;
    let end: Value = serde_json::from_str(last).context("the recording's last line")?;
    ensure!(end.get("type") == Some(&Value::from("end")), "the recording has no end: {last}");
    let lost = end.get("lost").unwrap_or(&Value::Null);
    ensure!(is_nothing(lost), "the recording lost {lost}");
    Ok(count_lines(text).saturating_sub(2))
}

/// Whether a count of losses, or an object of such counts by cause, says none.
fn is_nothing(lost: &Value) -> bool {
    match lost {
        Value::Null => true,
        Value::Number(count) => count.as_u64() == Some(0),
        Value::Array(causes) => causes.iter().all(is_nothing),
        Value::Object(causes) => causes.values().all(is_nothing),
        Value::Bool(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "{\"type\":\"header\"}\n{\"type\":\"exec\"}\n{\"type\":\"exit\"}\n";

    #[test]
    fn counts_the_events_between_header_and_end() {
        let text = format!("{HEADER}{{\"type\":\"end\",\"lost\":{{\"ring\":0}}}}\n");
        assert_eq!(read_recording(&text).unwrap(), 2);
    }

    #[test]
    fn a_recording_that_lost_something_or_breaks_off_does_not_count() {
        let lossy = format!("{HEADER}{{\"type\":\"end\",\"lost\":{{\"ring\":3}}}}\n");
        assert!(read_recording(&lossy).is_err());
        assert!(read_recording(HEADER).is_err());
        assert!(read_recording("").is_err());
    }

    #[test]
    fn each_tool_records_into_the_given_file() {
        let work = ["go".into(), "version".into()];
        for column in
            [Column::all, Column::sampler].into_iter().flat_map(|make| make("/x/gmtrace".into()))
        {
            let words = column.command(&work, Path::new("/t/out"), Record::Events);
            let recording = words.contains(&OsString::from("/t/out"));
            assert_eq!(recording, column.tool().is_some(), "{}", column.name);
            assert_eq!(words[words.len() - 2..], work);
        }
    }
}
