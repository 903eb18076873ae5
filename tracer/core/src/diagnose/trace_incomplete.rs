//! # trace-incomplete: something was not seen
//!
//! Events were lost, or this way of watching cannot see something that the answer may need. What stands beside this is what follows
//! from the rest.
//!
//! **Seen by** gmtrace's own counters.
//!
//! **What to do** `gmtrace report` lists what is missing. Where another `--backend` sees more, try that one.

use super::draft::Draft;
use super::scene::Scene;
use super::weaker;
use crate::event::Mode;
use crate::report::{Confidence, Fact, Finding, FindingState};
use crate::text;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let lost = lost(scene);
    let unseen = unseen(scene);
    if lost.is_empty() && unseen.is_empty() {
        return Vec::new();
    }
    let pid = scene.session.root();
    let summary = match lost.iter().map(|(_, n)| n).sum::<u64>() {
        0 => "gmtrace could not watch every step of this run.".to_owned(),
        n => format!("gmtrace did not see {} of this run.", text::count(n, "event", "events")),
    };
    let lines = lost.iter().map(|(cause, n)| format!("{cause} ({n})"));
    let mut made = Draft::new(scene, "trace-incomplete", pid, scene.now, summary)
        .state(FindingState::Notice)
        .fact("lost", lines.clone().take(4))
        .fact("unseen", unseen.iter().take(4).cloned());
    for line in lines {
        made = made.evidence(line, scene.now, "lost");
    }
    vec![made.remedy("see what is missing:", Some("gmtrace report".to_owned())).done()]
}

fn lost<'a>(scene: &Scene<'a>) -> Vec<(&'a str, u64)> {
    scene.session.lost_events().collect()
}

/// A launch that is watched through `/proc` alone sees no events at all: that matters as soon as something has gone wrong.
fn unseen<'a>(scene: &Scene<'a>) -> &'a [String] {
    let header = &scene.session.header;
    let wrong = scene.is_stall() || scene.has_failed();
    if wrong && header.mode == Mode::Launch && header.backend.name == "proc" {
        &header.backend.unseen
    } else {
        &[]
    }
}

/// Where events were lost, what rests on events alone is not certain; what a snapshot or the command itself says stays so.
pub(super) fn weaken(scene: &Scene<'_>, found: &mut [Finding]) {
    let count: u64 = lost(scene).iter().map(|(_, n)| n).sum();
    if count == 0 {
        return;
    }
    let events = text::count(count, "event", "events");
    for finding in found.iter_mut().filter(|f| f.code != "trace-incomplete") {
        let firm =
            finding.evidence.iter().any(|e| matches!(e.source.as_str(), "stderr" | "snapshot"));
        if !firm {
            finding.confidence = weaker(finding.confidence, Confidence::Likely);
            let lines = vec![format!("{events} of this run, which could tell more")];
            finding.facts.push(Fact { label: "lost".to_owned(), lines });
        }
    }
}
