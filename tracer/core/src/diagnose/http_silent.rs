//! # http-silent: the request was sent, no response header came
//!
//! The server took the request, and its kernel acknowledged it, but no answer has begun. Module proxies do this while they fetch
//! a module themselves; some never finish.
//!
//! **Seen by** a request that net/http began and has not ended (eBPF), or a goroutine that waits for the head of a response;
//! without that, data sent after the last bytes that were received, acknowledged, nothing back, and no byte of a module's zip
//! written.
//!
//! **Limit** none: cmd/go sets no time limit on response headers (net/http's ResponseHeaderTimeout is 0).
//!
//! **What to do** Give a proxy that may be fetching a minute. Then end the command before trying another: a second go queues behind
//! the first one's lock.

use super::idle;
use super::network::{draft, groups, with_remedies};
use super::scene::Scene;
use super::zip_in_flight;
use crate::report::{Confidence, Finding, Role};
use crate::session::{Connection, Phase};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    groups(scene, Phase::Response)
        .iter()
        .filter(|group| {
            group.oldest.awaited().is_some()
                || zip_in_flight::partial(scene, group.oldest).is_none()
        })
        .map(|group| silent(scene, group))
        .chain(ambiguous(scene))
        .collect()
}

fn silent(scene: &Scene<'_>, group: &super::network::Group<'_>) -> Finding {
    let since = group.since();
    let name = group.target.name();
    let asked = asked(group.oldest);
    let (ago, quiet) = (scene.ago(since), scene.exactly(since));
    let summary = match asked {
        true => format!("{name} took a request {ago} ago and has not answered."),
        false => format!("data was sent to {name} {ago} ago and nothing came back."),
    };
    let back = super::network::nothing(group.oldest);
    let what = if asked { "request" } else { "data" };
    let acked = match group.oldest.info() {
        Some(info) if info.unacked == 0 => "sent and acknowledged",
        _ => "sent",
    };
    let goroutine = group.oldest.awaited().filter(|_| scene.session.is_attached());
    let who = goroutine.map(|a| format!("; goroutine {} awaits headers", a.goroutine));
    let who = who.unwrap_or_default();
    let made = draft(scene, "http-silent", group, summary)
        .blocked(None, "read", Some(group.oldest.fd))
        .seen(format!("{what} {acked}; {back} back for {quiet}{who}"), since, "snapshot")
        .limit(scene.no_limit(group.oldest.pid))
        .confidence(sure(group.oldest));
    let made = match &group.oldest.request {
        Some(request) => {
            made.evidence(format!("{} {}", request.method, request.url), request.t, "http-request")
        }
        None => made,
    };
    let made = match group.target.role {
        Some(Role::ModuleProxy) => {
            made.or_else("the proxy is still fetching the module: allow a minute")
        }
        _ => made.or_else("the server is still working on its answer"),
    };
    with_remedies(made, scene, group.oldest.pid, &group.target)
}

/// A first request without a byte in answer is certain. After that, what was sent last may be an acknowledgement of HTTP/2 on
/// a connection that is idle: the goroutines would tell. Of what left before gmtrace looked nothing is known.
fn sure(connection: &Connection) -> Confidence {
    if connection.awaited().is_some() {
        return Confidence::Certain;
    }
    match (asked(connection), connection.bytes_received()) {
        (true, 0) => Confidence::Certain,
        _ => Confidence::Likely,
    }
}

/// Whether a request is known to have left: it was seen, or TLS came so far that one follows.
fn asked(connection: &Connection) -> bool {
    let in_tls = connection.hello.is_some()
        && (connection.tls_reply.is_some() || connection.bytes_received() > 0);
    connection.request.is_some() || in_tls || connection.awaited().is_some()
}

/// TLS hides requests. Where the last bytes that came belong to the handshake (few, and at its time), and nothing came since,
/// the request that follows a handshake is what is not answered: session tickets arrive just after it was sent.
fn ambiguous(scene: &Scene<'_>) -> Vec<Finding> {
    groups(scene, Phase::Receiving)
        .iter()
        .filter(|group| group.oldest.awaited().is_none())
        .filter(|group| zip_in_flight::partial(scene, group.oldest).is_none())
        .filter(|group| zip_in_flight::only_handshake(group.oldest))
        .map(|group| Finding { confidence: idle::confidence(scene, group), ..silent(scene, group) })
        .collect()
}
