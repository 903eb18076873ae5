//! # body-slow: bytes flow, slowly
//!
//! Data arrives, but little of it. That is no stall; it is told when the command takes its time, and at its end.
//!
//! **Seen by** a connection on which bytes came for ten seconds or more without a request between, at less than 20 kB/s.
//!
//! **Limit** none: cmd/go knows no least speed.
//!
//! **What to do** Wait, or use a nearer GOPROXY.

use super::draft::Draft;
use super::scene::Scene;
use super::target::Target;
use crate::report::{Confidence, Finding, FindingState};
use crate::session::{Body, Connection};
use crate::text::{self, Style};
use crate::units::Nanos;

/// Slower than this is worth a word.
const SLOW_BYTES_PER_SECOND: u64 = 20_000;
/// How long it must have lasted.
const LONG: Nanos = Nanos::from_secs(10);
/// What came longer ago than this does not come any more.
const FRESH: Nanos = Nanos::from_secs(3);

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let connections = scene.session.connections.iter().filter(|c| !c.is_dns());
    let mut slow: Vec<(&Connection, Body)> = connections
        .map(|c| (c, c.bodies.longest()))
        .filter(|(_, body)| body.lasted() >= LONG && body.rate() < SLOW_BYTES_PER_SECOND)
        .filter(|(_, body)| !scene.is_stall() || scene.now.since(body.until) < FRESH)
        .collect();
    slow.sort_by_key(|(_, body)| std::cmp::Reverse(body.lasted()));
    slow.dedup_by_key(|(c, _)| (c.pid, c.peer));
    slow.into_iter().take(4).map(|(c, body)| told(scene, c, body)).collect()
}

fn told(scene: &Scene<'_>, connection: &Connection, body: Body) -> Finding {
    let target = Target::of(scene, connection);
    let verb = if scene.is_stall() { "sends" } else { "sent" };
    let rate = text::bytes(body.rate());
    let summary = format!("{} {verb} slowly: {rate} a second.", target.name());
    let came =
        format!("{} in {}", text::bytes(body.bytes), text::duration(body.lasted().0, Style::About));
    let made = Draft::new(scene, "body-slow", connection.pid, body.since, summary)
        .connection(connection, &target)
        .state(FindingState::Notice)
        .confidence(Confidence::Certain)
        .seen(came, body.until, "sample")
        .limit("none: go has no least speed");
    let mut finding =
        made.or_else("a limit on the way, or a proxy that fetches as it sends").done();
    finding.blocked_ns = body.lasted();
    finding.end_ns = Some(body.until).filter(|_| !scene.is_stall());
    finding
}
