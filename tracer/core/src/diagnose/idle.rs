//! Connections on which nothing is known to be waited for: bytes came last, and TLS hides whether more should. Most are idle.

use super::network::Group;
use super::scene::Scene;
use crate::event::ProcessRole;
use crate::report::{Confidence, Finding};
use crate::session::Connection;

/// How sure it is that a quiet connection is what its process waits for: likely where nothing else can be.
pub(super) fn confidence(scene: &Scene<'_>, group: &Group<'_>) -> Confidence {
    let session = scene.session;
    let pid = group.oldest.pid;
    let open = |c: &&Connection| c.pid == pid && c.closed.is_none() && !c.is_dns();
    let connections = session.connections.iter().chain(&session.found_connections);
    let alone = connections.filter(open).count() == 1;
    let mut lookups = session.lookups.iter().chain(&session.found_lookups);
    let looks_up = lookups.any(|l| l.pid == pid && !l.is_over());
    let mut locks = session.locks.iter().chain(&session.found_locks);
    let locked = locks.any(|l| l.pid == pid && l.ended.is_none());
    let role = session.role_of_process(pid);
    let works = matches!(role, ProcessRole::Go | ProcessRole::Git);
    if works && alone && !looks_up && !locked && session.children(pid).is_empty() {
        Confidence::Likely
    } else {
        Confidence::Possible
    }
}

/// Whether a finding is about such a connection, and it is no more than possible.
pub(super) fn is_guess(finding: &Finding) -> bool {
    matches!(finding.code.as_str(), "body-stalled" | "http-silent")
        && finding.confidence == Confidence::Possible
}

/// Tells guesses as alternatives of `unknown` and `child-waiting` where those are about the same process.
pub(super) fn fold(scene: &Scene<'_>, found: &mut Vec<Finding>) {
    let (guesses, mut rest): (Vec<Finding>, Vec<Finding>) = found.drain(..).partition(is_guess);
    for guess in guesses {
        let open = |f: &&mut Finding| {
            matches!(f.code.as_str(), "unknown" | "child-waiting" | "not-go")
                && scene.session.is_below(f.blocked.pid, guess.blocked.pid)
        };
        match rest.iter_mut().find(open) {
            Some(finding) => {
                finding.alternatives.push(guess.summary.trim_end_matches('.').to_owned());
            }
            None => rest.push(guess),
        }
    }
    *found = rest;
}
