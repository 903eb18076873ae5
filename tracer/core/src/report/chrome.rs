//! Chrome trace events (`.trace.json`), for any viewer that reads them.
//!
//! The bare-array form, one event a line: viewers accept it even where the end is missing. `B`/`E`/`X` must nest per
//! thread, which the work of a go command does not; so a process's life is an `X`, and everything else an async `b`/`e`
//! whose `id` is a lane in which spans do nest (perfetto: docs/getting-started/other-formats.md).

use super::json::{Layout, encode};
use super::lanes::{Edge, Lane, lanes};
use super::layout::{plain, words};
use super::ranking::end_of;
use super::{ProcessRow, Report, Span, SpanStatus};
use crate::units::{Nanos, Pid};
use serde_json::{Value, json};
use std::fmt::{self, Write};

/// Writes the trace.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, out: &mut impl Write) -> fmt::Result {
    out.write_str("[")?;
    let mut separator = "\n";
    for event in events(report) {
        write!(out, "{separator}{}", encode(&event, Layout::Compact)?)?;
        separator = ",\n";
    }
    out.write_str("\n]\n")
}

fn events(report: &Report) -> Vec<Value> {
    let now = end_of(report);
    let mut events = vec![about_the_run(report)];
    events.extend(report.processes.iter().flat_map(|row| process(row, now)));
    let mut timed: Vec<(Nanos, Value)> = Vec::new();
    for (number, lane) in lanes(report).iter().enumerate() {
        timed.extend(lane.edges.iter().map(|(t, edge)| (*t, async_edge(*t, *edge, lane, number))));
    }
    timed.extend(stalls(report, now));
    timed.extend(findings(report));
    // Stable: edges of a lane at the same time keep the order in which they nest.
    timed.sort_by_key(|(t, _)| *t);
    events.extend(timed.into_iter().map(|(_, event)| event));
    events
}

/// Viewers ignore metadata they do not know; it anchors the trace in wall-clock time for everyone else.
fn about_the_run(report: &Report) -> Value {
    let command = &report.command;
    json!({"ph": "M", "name": "gmtrace", "pid": pid(command.pid), "tid": pid(command.pid), "args": {
        "schema": plain(&report.schema), "gmtrace": plain(&report.gmtrace), "complete": report.complete,
        "command": words(&command.argv), "started_at": plain(&command.started_at),
        "verdict": plain(&report.verdict.summary), "losses": losses(report),
    }})
}

fn losses(report: &Report) -> Value {
    report.losses.iter().map(|(cause, count)| (plain(cause), json!(count))).collect()
}

fn process(row: &ProcessRow, now: Nanos) -> [Value; 2] {
    let name = if row.argv.is_empty() { plain(&row.exe) } else { words(&row.argv) };
    let end = row.ended_ns.unwrap_or(now).max(row.started_ns);
    let id = pid(row.pid);
    [
        json!({"ph": "M", "name": "process_name", "pid": id, "tid": id, "args": {"name": name}}),
        json!({"ph": "X", "name": name, "cat": "process", "pid": id, "tid": id,
        "ts": micros(row.started_ns), "dur": micros(end.since(row.started_ns)), "args": {
            "ppid": row.ppid, "exe": plain(&row.exe), "exit": visible(&json!(row.exit)),
            "unfinished": row.ended_ns.is_none(),
        }}),
    ]
}

fn async_edge(t: Nanos, edge: Edge, lane: &Lane, number: usize) -> Value {
    let (phase, span) = match edge {
        Edge::Begin(span) => ("b", span),
        Edge::End(span) => ("e", span),
    };
    let mut event = json!({"ph": phase, "name": plain(&span.name), "cat": "work", "id": format!("{number:#x}"),
        "pid": pid(lane.pid), "tid": pid(lane.pid), "ts": micros(t)});
    if let (Edge::Begin(span), Some(event)) = (edge, event.as_object_mut()) {
        event.insert("args".to_owned(), args(span));
    }
    event
}

/// What is known of a span beside its name and times.
fn args(span: &Span) -> Value {
    let mut args = visible(&Value::Object(span.attrs.clone()));
    if let Some(args) = args.as_object_mut() {
        args.insert("type".to_owned(), json!(span.r#type));
        args.insert("status".to_owned(), json!(span.status));
        args.insert("unfinished".to_owned(), json!(span.status == SpanStatus::Open));
        args.insert("tid".to_owned(), json!(span.tid));
        args.extend(span.goid.map(|goid| ("goid".to_owned(), json!(goid))));
        args.extend(span.module.as_ref().map(|module| ("module".to_owned(), plain(module).into())));
    }
    args
}

fn stalls(report: &Report, now: Nanos) -> Vec<(Nanos, Value)> {
    let id = pid(report.command.pid);
    let mut events = Vec::new();
    for (number, stall) in report.stalls.iter().enumerate() {
        let end = stall.end_ns.unwrap_or(now).max(stall.start_ns);
        let finding = stall.finding.as_deref().map(plain);
        for (phase, t) in [("b", stall.start_ns), ("e", end)] {
            events.push((
                t,
                json!({"ph": phase, "name": "nothing moves", "cat": "stall", "pid": id, "tid": id,
                "id": format!("{number:#x}"), "ts": micros(t), "args": {"finding": finding}}),
            ));
        }
    }
    events
}

/// A finding is a flag where it began.
fn findings(report: &Report) -> impl Iterator<Item = (Nanos, Value)> {
    report.findings.iter().map(|finding| {
        let id = pid(finding.blocked.pid);
        let event = json!({"ph": "i", "s": "p", "name": plain(&finding.code), "cat": "finding",
        "pid": id, "tid": id, "ts": micros(finding.since_ns), "args": {
            "summary": plain(&finding.summary), "state": finding.state,
            "confidence": finding.confidence, "id": plain(&finding.id),
        }});
        (finding.since_ns, event)
    })
}

/// Viewers take process ids for unsigned numbers.
fn pid(pid: Pid) -> u32 {
    u32::try_from(pid.0).unwrap_or(0)
}

/// Microseconds with three decimals: exact up to 2^53 ns, which are 104 days.
fn micros(time: Nanos) -> f64 {
    time.0 as f64 / 1000.0
}

/// A value whose strings show what they contain, as they would on a terminal.
pub(super) fn visible(value: &Value) -> Value {
    match value {
        Value::String(text) => plain(text).into(),
        Value::Array(items) => items.iter().map(visible).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (plain(key), visible(value))).collect(),
        other => other.clone(),
    }
}
