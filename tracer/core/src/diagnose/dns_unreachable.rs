//! # dns-unreachable: no route to the resolver, or its port is closed
//!
//! The questions do not even reach a name server: nothing listens on port 53 of that address, or there is no way to it.
//!
//! **Seen by** ECONNREFUSED on the resolver's socket (an ICMP "port unreachable"), or connect(2) failing with ENETUNREACH.
//!
//! **What to do** Correct `/etc/resolv.conf`, or start the local resolver it names (docker: `--dns ADDRESS`).

use super::dns::{confidence, draft, lookups};
use super::dns_said;
use super::draft::Draft;
use super::scene::Scene;
use crate::report::{Finding, Peer, Role};
use crate::session::{Connection, Lookup};

/// The words of strerror(3) for ECONNREFUSED, ENETUNREACH and EHOSTUNREACH.
const UNREACHABLE: &[&str] = &["connection refused", "network is unreachable", "no route to host"];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let spoken = dns_said::examine(scene, "dns-unreachable", UNREACHABLE, |name, who| {
        format!("{who} cannot be reached, asked for {name}.")
    });
    let refused: Vec<Finding> =
        lookups(scene).into_iter().filter_map(|l| port_closed(scene, l)).chain(spoken).collect();
    if !refused.is_empty() || scene.is_stall() || !scene.has_failed() {
        return refused;
    }
    let answered = scene.session.lookups.iter().any(|l| l.questions.iter().any(|q| !q.is_open()));
    let failed =
        scene.session.connections.iter().rev().find(|c| c.is_dns() && c.failure().is_some());
    failed.filter(|_| !answered).map(|c| no_route(scene, c)).into_iter().collect()
}

fn port_closed(scene: &Scene<'_>, lookup: &Lookup) -> Option<Finding> {
    let question = lookup.questions.iter().rev().find(|q| q.error.is_some())?;
    let (t, error) = question.error.clone()?;
    let ip = question.server.map(|s| s.ip().to_string()).unwrap_or_default();
    let summary = format!("no name server runs at {ip}, asked for {}.", lookup.name);
    Some(
        draft(scene, "dns-unreachable", lookup, question.server, summary)
            .confidence(confidence(scene, lookup))
            .seen(format!("\"port unreachable\" came back ({error})"), t, "dns-error")
            .remedy("see which resolver is meant:", Some("cat /etc/resolv.conf".to_owned()))
            .done(),
    )
}

fn no_route(scene: &Scene<'_>, connection: &Connection) -> Finding {
    let ip = connection.peer.ip();
    let error = connection.failure().unwrap_or_default();
    let summary = format!("there is no way to name server {ip}.");
    Draft::new(scene, "dns-unreachable", connection.pid, connection.since, summary)
        .role(Role::Resolver)
        .peer(Peer {
            address: Some(ip.to_string()),
            port: Some(connection.peer.port()),
            protocol: "udp".to_owned(),
            ..Peer::default()
        })
        .fact("server", [format!("{ip} port {}", connection.peer.port())])
        .seen(format!("connect failed ({error})"), connection.since, "connect-end")
        .remedy("see which resolver is meant:", Some("cat /etc/resolv.conf".to_owned()))
        .done()
}
