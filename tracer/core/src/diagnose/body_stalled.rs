//! # body-stalled: the response began and stopped
//!
//! Part of a module has arrived, and then nothing more, on a connection that still stands.
//!
//! **Seen by** a goroutine that reads the rest of a response; without that, a temporary zip file of a module that has begun to fill, or bytes received after the last request, and then
//! silence.
//!
//! **Limit** none: cmd/go sets no time limit on bodies, and no least speed.
//!
//! **What to do** End the command and start it again; if it stops at the same place, use another GOPROXY.

use super::idle;
use super::network::{Group, draft, groups, with_remedies};
use super::scene::Scene;
use super::zip_in_flight::{self, Partial};
use crate::report::{Confidence, Finding};
use crate::session::awaited::Await;
use crate::session::{Connection, Phase};
use crate::text;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    let open =
        || [Phase::Receiving, Phase::Response].into_iter().flat_map(|p| scene.connections(p));
    let reads = |c: &Connection| c.awaited().is_none_or(|a| a.what == Await::Body);
    let of_a_zip = open().filter(|c| reads(c)).filter_map(|connection| {
        let partial = zip_in_flight::partial(scene, connection)?;
        let known = partial.sure || connection.awaited().is_some();
        let sure = if known { Confidence::Certain } else { Confidence::Likely };
        let young = scene.is_young(connection.pid, connection.last_received()?);
        (!young).then(|| stalled(scene, &Group::of(scene, connection), Some(&partial), sure))
    });
    let quiet = groups(scene, Phase::Receiving).into_iter().filter_map(|group| {
        let no_zip = zip_in_flight::partial(scene, group.oldest).is_none();
        if group.oldest.awaited().is_some() {
            return no_zip.then(|| stalled(scene, &group, None, Confidence::Certain));
        }
        let begun =
            no_zip && !zip_in_flight::only_handshake(group.oldest) && !has_all(group.oldest);
        begun.then(|| stalled(scene, &group, None, idle::confidence(scene, &group)))
    });
    of_a_zip.chain(quiet).collect()
}

/// Whether the one answer that was asked for in the open has come whole.
fn has_all(connection: &Connection) -> bool {
    let length = connection.response.as_ref().and_then(|r| r.content_length);
    length.is_some_and(|length| connection.bytes_received() > length)
}

fn stalled(
    scene: &Scene<'_>,
    group: &Group<'_>,
    partial: Option<&Partial>,
    confidence: Confidence,
) -> Finding {
    let since = group.oldest.last_received().unwrap_or_else(|| group.since());
    let name = group.target.name();
    let module = partial.and_then(|p| p.module.as_deref());
    let total = zip_in_flight::length(scene, group.oldest, module);
    let of = total.map(|t| format!(" of {}", text::bytes(t))).unwrap_or_default();
    let so_far = partial.map_or_else(
        || format!("{} received", text::bytes(group.oldest.bytes_received())),
        |p| format!("{}{of} of the zip written", text::bytes(p.written)),
    );
    let more = super::network::nothing(group.oldest);
    let part = if partial.is_some() { "sent part of a module" } else { "began to answer" };
    let summary = format!("{name} {part} and stopped {} ago.", scene.ago(since));
    let made = draft(scene, "body-stalled", group, summary)
        .confidence(confidence)
        .blocked(None, "read", Some(group.oldest.fd))
        .seen(format!("{so_far}; then {more} for {}", scene.exactly(since)), since, "snapshot")
        .limit(scene.no_limit(group.oldest.pid));
    let made = match partial.and_then(|p| p.module.clone()) {
        Some(module) if group.modules.is_empty() => made.modules(vec![module]),
        _ => made,
    };
    let made = match zip_in_flight::answered(scene, group.oldest, module) {
        Some(trip) => made.evidence(
            format!("status 200 in answer to {}", trip.url),
            trip.ended.unwrap_or(since),
            "http-response",
        ),
        None => made,
    };
    let known = partial.is_some() || group.oldest.awaited().is_some();
    let made = match known.then_some(()) {
        Some(()) => made.or_else("the path died: keep-alive probes will tell, within a minute"),
        None => made.or_else("an idle connection: nothing more is expected on it"),
    };
    with_remedies(made, scene, group.oldest.pid, &group.target)
}
