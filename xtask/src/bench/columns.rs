//! The columns: a command alone, and under each tool.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace::{find_program, output_of};

/// One way to run a command.
pub(super) struct Column {
    pub(super) name: &'static str,
    tool: Tool,
}

enum Tool {
    Bare,
    Gmtrace {
        program: PathBuf,
        options: &'static [&'static str],
    },
    Strace {
        calls: &'static str,
    },
    Perf,
    Bpftrace,
    /// Not the work is watched, but a program beside it that sleeps.
    Beside(Box<Tool>),
}

/// What bpftrace prints for each call. It cannot tell the processes below the command from others, and prints those too.
const BPFTRACE: &str = "tracepoint:syscalls:sys_enter_connect,tracepoint:syscalls:sys_enter_flock \
                        { printf(\"%d %s\\n\", pid, probe); }";

/// What sleeps while others are measured; it is ended long before. bpftrace wants the path of what it starts.
fn sleeper() -> [OsString; 2] {
    [find_program("sleep").unwrap_or_else(|| "sleep".into()).into(), "86400".into()]
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
        let mut columns = vec![
            Self { name: "bare", tool: Tool::Bare },
            Self::gmtrace("gmtrace", gmtrace.clone(), &["--backend", "ptrace"]),
            Self::gmtrace("gmtrace by eBPF", gmtrace, &["--backend", "ebpf"]),
            strace("strace", "connect,flock"),
            strace("strace with read", "connect,flock,read"),
        ];
        let installed =
            [("perf", "perf trace", Tool::Perf), ("bpftrace", "bpftrace", Tool::Bpftrace)];
        let installed =
            installed.into_iter().filter(|(program, ..)| find_program(program).is_some());
        columns.extend(installed.map(|(_, name, tool)| Self { name, tool }));
        columns
    }

    /// For work that takes long, nearly all of it waiting.
    pub(super) fn few(gmtrace: PathBuf) -> Vec<Self> {
        let few = ["bare", "gmtrace", "gmtrace by eBPF", "strace"];
        Self::all(gmtrace).into_iter().filter(|column| few.contains(&column.name)).collect()
    }

    /// For a rate of events: who keeps up with it, and loses none.
    pub(super) fn of_events(gmtrace: PathBuf) -> Vec<Self> {
        let all = Self::all(gmtrace).into_iter();
        all.filter(|column| column.name != "strace with read").collect()
    }

    /// The work alone, and while each tool watches a program beside it.
    pub(super) fn beside(gmtrace: PathBuf) -> Vec<Self> {
        let beside = |column: Self| match column.tool {
            Tool::Bare => column,
            tool => Self { tool: Tool::Beside(Box::new(tool)), ..column },
        };
        Self::of_events(gmtrace).into_iter().map(beside).collect()
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
        self.tool.program()
    }

    /// What runs beside the work, if anything does.
    pub(super) fn companion(&self, file: &Path) -> Option<Vec<OsString>> {
        let Tool::Beside(tool) = &self.tool else { return None };
        Some(tool.command(&sleeper(), file, Record::Nothing))
    }

    /// The words to type for `work`. strace always writes to `file`; gmtrace writes its recording
    /// there, and its timeline into [`timeline`].
    pub(super) fn command(&self, work: &[OsString], file: &Path, record: Record) -> Vec<OsString> {
        self.tool.command(work, file, record)
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
            Tool::Strace { .. } | Tool::Perf | Tool::Bpftrace => Ok(Some(count_lines(&text()?))),
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

impl Tool {
    fn program(&self) -> Option<&Path> {
        match self {
            Self::Bare => None,
            Self::Gmtrace { program, .. } => Some(program),
            Self::Strace { .. } => Some(Path::new("strace")),
            Self::Perf => Some(Path::new("perf")),
            Self::Bpftrace => Some(Path::new("bpftrace")),
            Self::Beside(tool) => tool.program(),
        }
    }

    /// See [`Column::command`].
    fn command(&self, work: &[OsString], file: &Path, record: Record) -> Vec<OsString> {
        let mut words: Vec<OsString> = match self {
            Self::Bare | Self::Beside(_) => Vec::new(),
            Self::Gmtrace { program, options } => {
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
            Self::Strace { calls } => {
                let trace = format!("trace={calls}").into();
                let words = ["strace", "--seccomp-bpf", "-f", "-e"].map(OsString::from);
                let file = ["-o".into(), file.into(), "--".into()];
                words.into_iter().chain([trace]).chain(file).collect()
            }
            Self::Perf => {
                let words = ["perf", "trace", "-e", "connect,flock", "-o"].map(OsString::from);
                words.into_iter().chain([file.into(), "--".into()]).collect()
            }
            Self::Bpftrace => {
                let words = ["bpftrace", "-e", BPFTRACE, "-o"].map(OsString::from);
                let command = work.join(OsStr::new(" "));
                return words.into_iter().chain([file.into(), "-c".into(), command]).collect();
            }
        };
        words.extend_from_slice(work);
        words
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
            let words = words.join(OsStr::new(" ")).into_string().unwrap();
            assert!(words.ends_with("go version"), "{words}");
        }
    }
}
