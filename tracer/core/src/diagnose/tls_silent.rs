//! # tls-silent: TCP stands, ClientHello sent, no ServerHello
//!
//! The server (or something in front of it) accepted the connection and then did not answer the first TLS message. Often
//! it is a middlebox that cannot take the ClientHello: since Go 1.24 it carries a post-quantum key share and does not fit
//! one packet (1,500 bytes and more).
//!
//! **Seen by** a ClientHello that was sent and acknowledged, and no bytes back.
//!
//! **Limit** go gives up after 10 s (TLSHandshakeTimeout), for each connection again.
//!
//! **What to do** Try once without the large key share: `GODEBUG=tlsmlkem=0`. If that helps, a middlebox or the path's MTU is to
//! blame. If not, the server itself is silent: use another GOPROXY.

use super::network::{Group, confidence, draft, groups, nothing_back, with_remedies};
use super::scene::Scene;
use crate::report::{Confidence, Finding};
use crate::session::Phase;

/// What fits one TCP segment on an Ethernet path: 1500 bytes less 52 of headers.
const ONE_SEGMENT: u32 = 1448;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    groups(scene, Phase::Handshake)
        .iter()
        .map(|group| {
            let since = group.since();
            let hello = group.oldest.hello.as_ref();
            let name = hello.and_then(|h| h.sni.clone()).unwrap_or_else(|| group.target.name());
            let summary = format!(
                "{name} accepted a connection {} ago and is silent in TLS.",
                scene.ago(since)
            );
            let size = group.oldest.hello_size().unwrap_or_default();
            let sent = match size {
                0 => "TLS began".to_owned(),
                size => format!("ClientHello of {size} bytes sent"),
            };
            let mut made = draft(scene, "tls-silent", group, summary)
                .blocked(None, "read", Some(group.oldest.fd))
                .confidence(sure(scene, group))
                .seen(format!("{sent}; {}", nothing_back(scene, since)), since, "tls-client-hello");
            if let Some(sni) = hello.and_then(|h| h.sni.clone()) {
                made = made.fact("asked", [format!("for {sni} (SNI)")]);
            }
            if let Some(other) = family_hint(scene, group) {
                made = made
                    .fact("other", [other])
                    .or_else("IPv6 is broken on the way, and IPv4 would answer")
                    .remedy(
                        "see whether IPv4 answers:",
                        Some(format!(
                            "curl -4sv -m 10 -o /dev/null {}",
                            super::paste::word(&group.target.url())
                        )),
                    );
            }
            if scene.is_go(group.oldest.pid) {
                made = made.limit("go gives up after 10 s, for each connection again");
            }
            if size > ONE_SEGMENT {
                made = made
                    .or_else("a middlebox that drops a ClientHello larger than one packet")
                    .remedy(
                        "a ClientHello that fits one packet:",
                        Some(format!("GODEBUG=tlsmlkem=0 {}", scene.paste(group.oldest.pid))),
                    );
            } else {
                made = made.or_else("a firewall that lets TCP through and stops TLS");
            }
            with_remedies(made, scene, group.oldest.pid, &group.target)
        })
        .collect()
}

/// That TLS began is known where its first message was seen; else the port says so.
fn sure(scene: &Scene<'_>, group: &Group<'_>) -> Confidence {
    let known = confidence(scene, group.oldest);
    let seen = group.oldest.hello.is_some() || group.oldest.awaited().is_some();
    if seen { known } else { known.min(Confidence::Likely) }
}

/// Go takes the first address that connects: IPv6 may be silent in TLS where IPv4 would answer.
fn family_hint(scene: &Scene<'_>, group: &Group<'_>) -> Option<String> {
    if !group.target.ip.is_ipv6() {
        return None;
    }
    let peer = group.target.peer(scene, group.oldest);
    match peer.other_addresses.iter().find(|o| !o.address.contains(':')) {
        Some(v4) if v4.outcome == "not tried" => {
            Some(format!("IPv4 address {} was not tried", v4.address))
        }
        Some(v4) => Some(format!("IPv4 address {}: {}", v4.address, v4.outcome)),
        None => unseen_family(scene, group),
    }
}

/// Where the look-up was not seen, the other addresses of a name are not known, but that none of them has a connection is. Go dials
/// both families, the second a little later, and closes whichever connects last (net/dial.go, dialParallel).
fn unseen_family(scene: &Scene<'_>, group: &Group<'_>) -> Option<String> {
    let (session, pid) = (scene.session, group.oldest.pid);
    let answered = !session.names_of(group.target.ip).is_empty();
    let mut open = session.connections.iter().chain(&session.found_connections);
    let by_ipv4 = open.any(|c| {
        let here = c.pid == pid && c.closed.is_none() && c.peer.port() == group.target.port;
        here && c.peer.is_ipv4()
    });
    let of_go = scene.is_go(pid) || group.oldest.awaited().is_some();
    (of_go && group.target.host.is_some() && !answered && !by_ipv4)
        .then(|| "IPv4 was not tried, or lost: go keeps the address that connects first".to_owned())
}
