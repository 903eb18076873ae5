//! Which parts of a run are worth a row.

use super::{HostRow, ModuleRow, Report, Span, SpanType};
use crate::units::Nanos;
use std::cmp::Reverse;

/// When the report was made, on the clock of its spans: no span reaches beyond it.
pub(super) fn end_of(report: &Report) -> Nanos {
    let ends = report.spans.iter().map(|span| span.end_ns.unwrap_or(span.start_ns));
    let processes = report.processes.iter().map(|row| row.ended_ns.unwrap_or(row.started_ns));
    ends.chain(processes).fold(report.command.duration_ns, Nanos::max)
}

/// How long a span lasted, or has lasted.
pub(super) fn length(span: &Span, now: Nanos) -> Nanos {
    span.end_ns.unwrap_or(now).since(span.start_ns)
}

/// How long a module took, or has taken.
pub(super) fn module_time(module: &ModuleRow, now: Nanos) -> Nanos {
    module.end_ns.unwrap_or(now).since(module.start_ns)
}

/// The modules that took longest.
pub(super) fn slow_modules(report: &Report, most: usize) -> Vec<&ModuleRow> {
    let now = end_of(report);
    top(report.modules.iter(), most, |module| module_time(module, now))
}

/// The spans that are steps of the work. A process's life is none: it says nothing about what it did.
pub(super) fn steps(report: &Report) -> impl Iterator<Item = &Span> {
    report.spans.iter().filter(|span| span.r#type != SpanType::Process)
}

/// The longest steps.
pub(super) fn longest_steps(report: &Report, most: usize) -> Vec<&Span> {
    let now = end_of(report);
    top(steps(report), most, |span| length(span, now))
}

/// The hosts where most went wrong, then those from which most was received.
pub(super) fn busiest_hosts(report: &Report, most: usize) -> Vec<&HostRow> {
    top(report.hosts.iter(), most, |host| (host.failures, host.bytes))
}

fn top<'a, T, K: Ord>(
    rows: impl Iterator<Item = &'a T>,
    most: usize,
    key: impl Fn(&T) -> K,
) -> Vec<&'a T> {
    let mut rows: Vec<&T> = rows.collect();
    rows.sort_by_key(|row| Reverse(key(row)));
    rows.truncate(most);
    rows
}
