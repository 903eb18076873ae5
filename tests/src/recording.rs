//! Reads what gmtrace recorded: `-o FILE.jsonl`, one object a line.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A recording, line by line.
#[derive(Debug, Default)]
pub struct Recording {
    /// The first line: what is watched, and how.
    pub header: Value,
    /// The events, in the order of the file.
    pub events: Vec<Value>,
    /// The last line, with the exit status.
    pub end: Value,
}

impl Recording {
    /// Reads a complete recording.
    ///
    /// # Errors
    /// Where a line is no JSON object, or the first is no header, or the last no end.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("recording {}", path.display()))?;
        Self::parse(&text)
    }

    /// A complete recording.
    ///
    /// # Errors
    /// As [`Recording::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate() {
            lines.push(
                serde_json::from_str::<Value>(line)
                    .with_context(|| format!("line {}", number + 1))?,
            );
        }
        ensure!(lines.len() >= 2, "a recording has a header and an end: {text:?}");
        let header = lines.remove(0);
        ensure!(header["type"] == "header", "not a header: {header}");
        ensure!(header["schema"] == "gmtrace.recording/1", "another schema: {header}");
        let end = lines.pop().unwrap_or_default();
        ensure!(end["type"] == "end", "not an end: {end}");
        Ok(Self { header, events: lines, end })
    }

    /// The events of one type.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["type"] == kind)
    }

    /// How many events of a type there are.
    pub fn count(&self, kind: &str) -> usize {
        self.of(kind).count()
    }

    /// Whether an event of one of these types mentions a word anywhere.
    pub fn mentions(&self, kinds: &[&str], word: &str) -> bool {
        let word = word.to_lowercase();
        kinds
            .iter()
            .any(|kind| self.of(kind).any(|event| event.to_string().to_lowercase().contains(&word)))
    }

    /// How a process ended, as recorded: once, or it is an error.
    ///
    /// # Errors
    /// Where its end is recorded never or twice.
    pub fn exit_of(&self, pid: i64) -> Result<&Value> {
        let ends: Vec<_> = self.of("process-exit").filter(|event| event["pid"] == pid).collect();
        ensure!(ends.len() == 1, "process {pid} ended {} times: {ends:?}", ends.len());
        Ok(&ends[0]["exit"])
    }

    /// How many processes began, the command itself not counted.
    ///
    /// # Errors
    /// Where there is no exec.
    pub fn children(&self) -> Result<usize> {
        let command = self.command()?;
        Ok(self.of("process-start").filter(|event| event["pid"] != command).count())
    }

    /// The process id of the command: that of the first exec.
    ///
    /// # Errors
    /// Where there is no exec.
    pub fn command(&self) -> Result<i64> {
        self.of("exec").next().and_then(|event| event["pid"].as_i64()).context("no exec event")
    }
}
