//! # dns-failed: the resolver answered with an error
//!
//! The name server said no: NXDOMAIN (there is no such name), SERVFAIL (it could not find out), REFUSED (it does not serve
//! you).
//!
//! **Seen by** the code in the answer.
//!
//! **What to do** NXDOMAIN: check the name, and whether this network's resolver knows it (a VPN that is down hides internal
//! names). SERVFAIL, REFUSED: ask another resolver.

use super::dns::{confidence, draft, lookups};
use super::dns_said;
use super::scene::Scene;
use crate::report::{Finding, FindingState};
use crate::session::Lookup;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let mut failed: Vec<Finding> = lookups(scene)
        .into_iter()
        .filter(|l| !scene.is_stall() || l.unanswered().is_empty())
        .filter(|l| !found_later(scene, l))
        .filter_map(|l| answered_with_error(scene, l))
        .collect();
    // Names of the search list fail on the way to the one that counts: the last.
    failed.reverse();
    failed.truncate(4);
    failed.extend(dns_said::examine(
        scene,
        "dns-failed",
        &["no such host", "server misbehaving"],
        |name, who| format!("{who} could not find {name}."),
    ));
    failed
}

/// The name as it was typed, without a suffix of the search list.
fn stem<'a>(scene: &Scene<'_>, lookup: &'a Lookup) -> &'a str {
    let settings = scene.session.settings_for(lookup.pid);
    let mut suffixes = settings.map_or(&[][..], |s| s.search.as_slice()).iter();
    let stem = suffixes.find_map(|s| lookup.name.strip_suffix(s.as_str())?.strip_suffix('.'));
    stem.unwrap_or(&lookup.name)
}

/// Whether the same name was found later, as it is or with another suffix of the search list.
fn found_later(scene: &Scene<'_>, failed: &Lookup) -> bool {
    let has_address = |l: &Lookup| {
        l.questions.iter().any(|q| q.answer.as_ref().is_some_and(|(_, _, a)| !a.is_empty()))
    };
    let same = |l: &&Lookup| l.pid == failed.pid && l.since >= failed.since;
    let name = stem(scene, failed);
    let mut later = scene.session.lookups.iter().filter(same);
    later.any(|l| has_address(l) && stem(scene, l) == name)
}

fn answered_with_error(scene: &Scene<'_>, lookup: &Lookup) -> Option<Finding> {
    let (question, t, rcode) = lookup.questions.iter().rev().find_map(|q| {
        let (t, rcode, _) = q.answer.as_ref()?;
        (rcode != "NOERROR").then_some((q, *t, rcode.clone()))
    })?;
    let name = &lookup.name;
    let ip = question.server.map(|s| s.ip().to_string()).unwrap_or_default();
    let summary = match rcode.as_str() {
        "NXDOMAIN" => format!("name server {ip} says that {name} does not exist."),
        "REFUSED" => format!("name server {ip} refuses to look up {name}."),
        _ => format!("name server {ip} could not look up {name} ({rcode})."),
    };
    // What the command does not name may be nothing it needed.
    let blamed = scene.is_stall() || scene.said(stem(scene, lookup)).is_some();
    let state = if blamed { scene.state() } else { FindingState::Notice };
    Some(
        draft(scene, "dns-failed", lookup, question.server, summary)
            .confidence(confidence(scene, lookup))
            .state(state)
            .seen(format!("{rcode} for {name} ({})", question.qtype), t, "dns-answer")
            .or_else("a VPN that is down, so that internal names are unknown")
            .remedy("ask it by hand:", Some(format!("dig @{ip} {}", super::paste::word(name))))
            .done(),
    )
}
