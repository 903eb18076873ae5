//! The spans of modules: each with what was done for it, as probes or readings of goroutines showed it.

use super::build::span;
use super::{Span, SpanType};
use crate::event::{Exit, GoStep};
use crate::session::{Session, Work};
use crate::units::{Nanos, Pid};
use std::collections::{BTreeMap, HashMap};

/// A span for each module and, below it, for each step.
pub(super) fn spans(session: &Session) -> Vec<Span> {
    let mut modules: BTreeMap<(Pid, &str), Vec<&Work>> = BTreeMap::new();
    for work in &session.work {
        modules.entry((work.pid, &work.module)).or_default().push(work);
    }
    modules
        .into_iter()
        .flat_map(|((pid, module), works)| of_module(session, pid, module, &works))
        .collect()
}

fn of_module(session: &Session, pid: Pid, module: &str, works: &[&Work]) -> Vec<Span> {
    let read: Vec<&Work> = works.iter().copied().filter(|w| !w.exact).collect();
    let since = read.iter().map(|w| w.since).min();
    let ends: Option<Vec<Nanos>> = read.iter().map(|w| end(session, w)).collect();
    let until = ends.and_then(|ends| ends.into_iter().max());
    let failed = read.iter().any(|w| has_failed(session, w));
    let whole = since.map(|since| {
        let whole = span(SpanType::Module, module.to_owned(), since, until, pid, pid.into());
        let whole = if failed { whole.failed("interrupted") } else { whole };
        whole.attr("gmtrace.known", "sampled")
    });
    // What a probe tells of need not be told as a reading has it; a reading may show more of a step than the probe.
    let told = |w: &Work| {
        let same = works.iter().filter(|e| e.exact && (e.goid, e.step) == (w.goid, w.step));
        let ends_later = |e: &Work| e.open || !w.open && w.until <= e.until;
        same.into_iter().any(|e| e.since <= w.since && ends_later(e))
    };
    let steps = works.iter().filter(|w| w.exact || !told(w)).map(|w| {
        let (kind, word) = name(w.step);
        let made =
            span(kind, format!("{word} {module}"), w.since, end(session, w), pid, pid.into());
        let made = match (has_failed(session, w), w.failed) {
            (true, _) => made.failed("interrupted"),
            (false, true) => made.failed("error"),
            (false, false) => made,
        };
        Span { goid: Some(w.goid), ..made.attr("gmtrace.known", known(w)) }
    });
    let all = whole.into_iter().chain(steps);
    all.map(|made| Span { module: Some(module.to_owned()), ..made }).collect()
}

/// How the times of a step are known.
fn known(work: &Work) -> &'static str {
    if work.exact { "probe" } else { "sampled" }
}

/// Whether its process ended in an error, in the middle of it.
fn has_failed(session: &Session, work: &Work) -> bool {
    work.cut && !ended_well(session, work.pid)
}

/// What became of a module that a process worked on; that it was no longer worked on does not say.
pub(super) fn result(session: &Session, pid: Pid, work: Option<&Work>) -> &'static str {
    let alive = session.process(pid).is_some_and(|p| p.ended.is_none()) && !session.is_over();
    match work {
        Some(work) if work.open && alive => "open",
        Some(work) if has_failed(session, work) => "failed",
        _ if ended_well(session, pid) => "ok",
        None if alive => "open",
        _ => "unknown",
    }
}

pub(super) fn ended_well(session: &Session, pid: Pid) -> bool {
    session.process(pid).is_some_and(|p| p.exit == Some(Exit::Code(0)))
}

/// When it was last seen; none while it goes on.
fn end(session: &Session, work: &Work) -> Option<Nanos> {
    (!work.open || session.is_over()).then_some(work.until)
}

fn name(step: GoStep) -> (SpanType, &'static str) {
    match step {
        GoStep::Lock => (SpanType::Lock, "lock"),
        GoStep::Fetch => (SpanType::Fetch, "fetch"),
        GoStep::Verify => (SpanType::Verify, "verify"),
        GoStep::Unzip => (SpanType::Unzip, "unzip"),
    }
}

/// The ids of the spans of modules.
pub(super) fn modules(spans: &[Span]) -> HashMap<(Pid, String), String> {
    let modules = spans.iter().filter(|s| s.r#type == SpanType::Module);
    modules.filter_map(|s| Some(((s.pid, s.module.clone()?), s.id.clone()))).collect()
}

/// The id of the module's span that this one belongs below.
pub(super) fn module_of(modules: &HashMap<(Pid, String), String>, span: &Span) -> Option<String> {
    let module = span.module.clone().filter(|_| span.r#type != SpanType::Module)?;
    modules.get(&(span.pid, module)).cloned()
}
