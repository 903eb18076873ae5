//! Connections on which nothing is known to be waited for: bytes came last, and TLS hides whether more should. Most are idle.

use super::network::Group;
use super::scene::Scene;
use crate::event::{DescriptorTarget, Goroutine, ProcessRole, ProcessState};
use crate::report::{Confidence, Finding};
use crate::session::{Connection, Session};

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

/// Whether a finding says no more of a program than that it waits, and it may be a server, which waits for whoever calls: it listens,
/// or could not be read. A server below go (`go run`, a test) is what a go command waits for.
pub fn serves(session: &Session, finding: &Finding) -> bool {
    let guess = finding.code == "unknown" || finding.confidence == Confidence::Possible;
    let server = || session.state_of(finding.blocked.pid).is_none_or(|p| listens(session, p));
    guess && session.go_commands().is_empty() && server()
}

/// Whether a process has a socket that others call, and waits for them there, as far as its goroutines tell.
fn listens(session: &Session, process: &ProcessState) -> bool {
    let called = |inode| {
        let unix = session.snapshot.iter().flat_map(|(_, s)| &s.unix);
        let mut unix = unix.filter(|u| u.inode == inode && u.listening && u.pending.is_empty());
        session.socket(inode).is_some_and(|s| s.state == "LISTEN") || unix.next().is_some()
    };
    let mut sockets = process.descriptors.iter().filter_map(|d| match d.target {
        DescriptorTarget::Socket(inode) => Some(inode),
        _ => None,
    });
    let accepts = |g: &Goroutine| g.is_in("internal/poll.(*FD).Accept");
    let go = process.go.as_ref().filter(|go| go.unreadable.is_none());
    sockets.any(called) && go.is_none_or(|go| go.goroutines.iter().any(accepts))
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
