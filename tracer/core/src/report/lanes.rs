//! Spans sorted into lanes in which they nest: viewers draw a lane as a stack, and misread spans that overlap in one.

use super::ranking::{end_of, steps};
use super::{Report, Span, SpanType};
use crate::units::{Nanos, Pid};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A row of a viewer: spans of one process and one root (a module, a connection without one, ...) that nest.
pub(super) struct Lane<'a> {
    /// The process.
    pub(super) pid: Pid,
    /// The outermost span they belong to.
    pub(super) root: &'a Span,
    /// What opens and closes, so that every `End` closes the last open `Begin`, in the order of time.
    pub(super) edges: Vec<(Nanos, Edge<'a>)>,
}

/// The begin or end of a span.
#[derive(Clone, Copy)]
pub(super) enum Edge<'a> {
    /// It begins.
    Begin(&'a Span),
    /// It ends; one that goes on ends with the report.
    End(&'a Span),
}

/// A lane while it is being filled.
struct Open<'a> {
    lane: Lane<'a>,
    stack: Vec<(Nanos, &'a Span)>,
}

/// All spans but the lives of processes.
pub(super) fn lanes(report: &Report) -> Vec<Lane<'_>> {
    let now = end_of(report);
    let by_id: HashMap<&str, &Span> =
        report.spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let mut groups: BTreeMap<(Nanos, Pid, &str), Vec<Open>> = BTreeMap::new();
    for (end, span) in in_order(report, now) {
        let root = root_of(span, &by_id);
        let group = groups.entry((root.start_ns, span.pid, root.id.as_str())).or_default();
        place(group, root, span, end);
    }
    groups.into_values().flatten().map(Open::close).collect()
}

/// The outer before the inner: by begin, then the longest first.
fn in_order(report: &Report, now: Nanos) -> Vec<(Nanos, &Span)> {
    let mut spans: Vec<(Nanos, &Span)> =
        steps(report).map(|span| (span.end_ns.unwrap_or(now).max(span.start_ns), span)).collect();
    spans.sort_by_key(|(end, span)| (span.start_ns, std::cmp::Reverse(*end)));
    spans
}

/// The outermost ancestor that is no process. A chain of parents that bites its tail ends where it would repeat.
fn root_of<'a>(span: &'a Span, by_id: &HashMap<&str, &'a Span>) -> &'a Span {
    let mut seen = HashSet::from([span.id.as_str()]);
    let mut root = span;
    while let Some(parent) = root.parent.as_deref().and_then(|id| by_id.get(id)) {
        if parent.r#type == SpanType::Process || !seen.insert(&parent.id) {
            break;
        }
        root = parent;
    }
    root
}

fn place<'a>(group: &mut Vec<Open<'a>>, root: &'a Span, span: &'a Span, end: Nanos) {
    for open in group.iter_mut() {
        if open.takes(span, end) {
            return open.begin(span, end);
        }
    }
    let lane = Lane { pid: span.pid, root, edges: Vec::new() };
    let mut open = Open { lane, stack: Vec::new() };
    open.begin(span, end);
    group.push(open);
}

impl<'a> Open<'a> {
    /// Whether a span fits into what is open here when it begins.
    fn takes(&self, span: &Span, end: Nanos) -> bool {
        let around = self.stack.iter().rev().find(|(closes, _)| *closes > span.start_ns);
        around.is_none_or(|(closes, _)| end <= *closes)
    }

    fn begin(&mut self, span: &'a Span, end: Nanos) {
        self.end_until(span.start_ns);
        self.lane.edges.push((span.start_ns, Edge::Begin(span)));
        self.stack.push((end, span));
    }

    fn end_until(&mut self, time: Nanos) {
        while let Some((end, span)) = self.stack.pop_if(|(end, _)| *end <= time) {
            self.lane.edges.push((end, Edge::End(span)));
        }
    }

    fn close(mut self) -> Lane<'a> {
        self.end_until(Nanos(u64::MAX));
        self.lane
    }
}
