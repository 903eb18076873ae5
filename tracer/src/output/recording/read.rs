//! Reads recordings line by line: memory does not grow with their length.

use anyhow::{Context, Result, anyhow};
use gmtrace_core::anonymize::Anonymizer;
use gmtrace_core::event::{Event, RECORDING_SCHEMA, Record, What};
use gmtrace_core::text::Escaped;
use gmtrace_core::units::{Nanos, Pid, Tid};
use gmtrace_core::watch::Watch;
use serde::Deserialize;
use std::borrow::Cow;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::process::ExitCode;

/// A longer line is no line of a recording.
const LONGEST_LINE: u64 = 64 << 20;

/// The records of a recording, in their order.
pub struct Reader<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
    over: bool,
}

impl<R: BufRead> Reader<R> {
    /// A reader of `input`.
    pub fn new(input: R) -> Reader<R> {
        Reader { input, line: 0, buffer: Vec::new(), over: false }
    }

    /// Reads the next line; whether it was read to its end.
    fn read_line(&mut self) -> Result<bool> {
        self.buffer.clear();
        self.line += 1;
        let line = self.line;
        let mut bounded = self.input.by_ref().take(LONGEST_LINE);
        bounded.read_until(b'\n', &mut self.buffer).with_context(|| format!("line {line}"))?;
        let ended = self.buffer.pop_if(|last| *last == b'\n').is_some();
        if !ended && self.buffer.len() as u64 == LONGEST_LINE {
            return Err(anyhow!("line {line} is longer than 64 MiB: no recording of gmtrace"));
        }
        Ok(ended)
    }

    fn next_record(&mut self) -> Result<Option<Record>> {
        let ended = self.read_line()?;
        if self.buffer.is_empty() && !ended {
            return Ok(None);
        }
        match parse(&self.buffer, self.line) {
            // Cut off in the middle of a line: readable up to there.
            Err(_) if !ended && self.line > 1 => Ok(None),
            parsed => parsed.map(Some),
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Result<Record>> {
        if self.over {
            return None;
        }
        let next = self.next_record().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    schema: Option<Cow<'a, str>>,
}

fn parse(bytes: &[u8], line: u64) -> Result<Record> {
    let tag: Tag<'_> = serde_json::from_slice(bytes)
        .with_context(|| format!("line {line} is no line of a recording of gmtrace"))?;
    let record = match tag.r#type.as_ref() {
        "header" => {
            let schema = tag.schema.unwrap_or_default();
            if schema != RECORDING_SCHEMA {
                return Err(anyhow!(
                    "line {line}: schema '{}'; this gmtrace reads {RECORDING_SCHEMA}: use a newer one",
                    Escaped(&schema)
                ));
            }
            serde_json::from_slice(bytes).map(Record::Header)
        }
        "end" => serde_json::from_slice(bytes).map(Record::End),
        _ => serde_json::from_slice(bytes).or_else(|error| newer(bytes, error)).map(Record::Event),
    };
    record.with_context(|| format!("line {line} is damaged"))
}

/// Where and when something happened, whatever it was.
#[derive(Deserialize)]
struct Stamp {
    t: Nanos,
    pid: Pid,
    tid: Tid,
}

/// An event with a value of the future in it is one of an unknown type; every other damage is one.
fn newer(bytes: &[u8], error: serde_json::Error) -> serde_json::Result<Box<Event>> {
    if !error.is_data() || !error.to_string().starts_with("unknown variant") {
        return Err(error);
    }
    let Stamp { t, pid, tid } = serde_json::from_slice(bytes)?;
    Ok(Box::new(Event { t, pid, tid, what: What::Unknown }))
}

/// Replaces hosts, paths, users and module names, where `on`.
pub fn anonymized<R: BufRead>(
    records: Reader<R>,
    on: bool,
) -> impl Iterator<Item = Result<Record>> {
    let mut anonymizer = on.then(Anonymizer::new);
    records.map(move |record| match &mut anonymizer {
        Some(anonymizer) => record.map(|r| anonymizer.record(r)),
        None => record,
    })
}

/// Folds a recording into the model, streaming.
///
/// # Errors
/// A line that cannot be read, or a file that is no recording.
pub fn fold(records: &mut dyn Iterator<Item = Result<Record>>) -> Result<Watch> {
    let mut failure = None;
    let readable = records.map_while(|record| match record {
        Ok(record) => Some(Ok(record)),
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let folded = gmtrace_core::report::replay(readable);
    match failure {
        Some(error) => Err(error),
        None => folded.map_err(|why| anyhow!(why)),
    }
}

/// Writes records as lines again.
///
/// # Errors
/// A line that cannot be read, or an output that cannot be written. A reader that has gone is no failure.
pub fn copy(
    records: &mut dyn Iterator<Item = Result<Record>>,
    out: &mut dyn Write,
) -> Result<ExitCode> {
    let mut out = std::io::BufWriter::new(out);
    let write = || -> Result<()> {
        for record in records {
            let mut line = serde_json::to_vec(&record?)?;
            line.push(b'\n');
            out.write_all(&line)?;
        }
        Ok(out.flush()?)
    };
    let gone = |e: &anyhow::Error| {
        e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    };
    match write() {
        Err(error) if !gone(&error) => Err(error),
        _ => Ok(ExitCode::SUCCESS),
    }
}
