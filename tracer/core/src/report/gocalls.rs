//! The spans of what goroutines did that went on for a while, as probes tell.

use super::build::span;
use super::work::ended_well;
use super::{Span, SpanType};
use crate::event::GoCalled;
use crate::session::{GoCallMade, Session};
use crate::units::Nanos;

/// What takes no longer was nothing to wait for: addresses are looked up too.
const AT_ONCE: Nanos = Nanos::from_millis(1);

/// One for each that took its time, or failed.
pub(super) fn spans(session: &Session) -> impl Iterator<Item = Span> {
    let took = |made: &&GoCallMade| {
        made.failed || made.ended.is_none_or(|end| end.since(made.since) >= AT_ONCE)
    };
    session.go_calls.iter().filter(took).map(|made| of_call(session, made))
}

fn of_call(session: &Session, made: &GoCallMade) -> Span {
    let (kind, words) = name(made.call);
    let name = [words, &made.about].join(" ");
    let span =
        span(kind, name.trim_end().to_owned(), made.since, made.ended, made.pid, made.pid.into());
    let span = match made.cut && !ended_well(session, made.pid) {
        true => span.failed("interrupted"),
        false if made.failed => span.failed("error"),
        false => span,
    };
    Span { goid: Some(made.goid), ..span.attr("gmtrace.known", "probe") }
}

fn name(call: GoCalled) -> (SpanType, &'static str) {
    match call {
        GoCalled::LookUp => (SpanType::Dns, "look up"),
        GoCalled::Handshake => (SpanType::Tls, "handshake with"),
        GoCalled::Run => (SpanType::Exec, "run"),
        GoCalled::Start => (SpanType::Exec, "start"),
        GoCalled::SelectToolchain => (SpanType::Exec, "select the toolchain"),
        GoCalled::ExecToolchain => (SpanType::Exec, "switch to"),
    }
}
