//! The spans of look-ups: each question to a name server, and each call of libc's.

use super::build::span;
use super::{Span, SpanType};
use crate::session::{ByLibc, Getaddrinfo, Lookup};
use serde_json::json;

/// One for each question.
pub(super) fn of_questions(lookup: &Lookup) -> Vec<Span> {
    lookup
        .questions
        .iter()
        .map(|q| {
            let end = q
                .answer
                .as_ref()
                .map(|(t, ..)| *t)
                .or(q.error.as_ref().map(|(t, _)| *t))
                .or(lookup.ended);
            let name = format!("{} {}", q.qtype, lookup.name);
            let mut made = span(SpanType::Dns, name, q.t, end, lookup.pid, lookup.tid)
                .attr("dns.question.name", lookup.name.clone())
                .attr("gmtrace.dns.question.type", q.qtype.clone());
            if let Some(server) = q.server {
                made = made
                    .attr("server.address", server.ip().to_string())
                    .attr("server.port", server.port());
            }
            if matches!(lookup.getaddrinfo, Some(ByLibc::NscdStep | ByLibc::Polls)) {
                made = made.attr("gmtrace.inferred", "getaddrinfo");
            }
            match (&q.answer, &q.error) {
                (Some((_, rcode, addresses)), _) => {
                    made = made
                        .attr("gmtrace.dns.response.code", rcode.clone())
                        .attr("dns.answers", json!(addresses));
                    if rcode == "NOERROR" { made } else { made.failed(rcode) }
                }
                (None, Some((_, error))) => made.failed(error),
                (None, None) if end.is_some() => made.failed("timeout"),
                (None, None) => made,
            }
        })
        .collect()
}

/// Of a call of getaddrinfo(3), which its questions, if it asked any, lie in.
pub(super) fn of_call(call: &Getaddrinfo) -> Span {
    let service = call.service.as_deref();
    let words = ["getaddrinfo", &call.name, service.unwrap_or_default()];
    let name = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let mut made = span(SpanType::Dns, name, call.since, call.ended, call.pid, call.tid)
        .attr("dns.question.name", call.name.clone());
    if let Some(service) = service {
        made = made.attr("gmtrace.getaddrinfo.service", service);
    }
    match call.result.as_deref() {
        Some("ok") => made.attr("gmtrace.getaddrinfo.result", "ok"),
        Some(error) => made.attr("gmtrace.getaddrinfo.result", error).failed(error),
        // It ended with its process.
        None if call.ended.is_some() => made.failed("interrupted"),
        None => made,
    }
}
