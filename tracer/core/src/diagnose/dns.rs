//! What the rules about look-ups share.

use super::draft::Draft;
use super::scene::Scene;
use crate::event::Transport;
use crate::report::{Confidence, Peer, Role};
use crate::session::{ByLibc, Lookup, Question};
use crate::text;
use crate::units::Nanos;
use std::net::SocketAddr;

/// Look-ups that matter now: open ones at a stall; at the end of a failed run those of names that never got an address.
pub(super) fn lookups<'a>(scene: &Scene<'a>) -> Vec<&'a Lookup> {
    let resolved = |name: &str| {
        scene.session.lookups.iter().filter(|l| l.name == name).any(|l| {
            l.questions.iter().any(|q| q.answer.as_ref().is_some_and(|(_, _, a)| !a.is_empty()))
        })
    };
    let found = scene.session.found_lookups.iter().filter(|_| scene.is_stall());
    scene
        .session
        .lookups
        .iter()
        .chain(found)
        .filter(|l| {
            if scene.is_stall() {
                !l.is_over() && !scene.is_young(l.pid, l.since)
            } else {
                scene.has_failed() && !resolved(&l.name)
            }
        })
        .collect()
}

/// A finding about a look-up, with `asked` and `server` lines.
pub(super) fn draft<'a, 's>(
    scene: &'s Scene<'a>,
    code: &str,
    lookup: &Lookup,
    server: Option<SocketAddr>,
    summary: String,
) -> Draft<'a, 's> {
    let syscall = if lookup.getaddrinfo.is_some() { "poll" } else { "read" };
    let mut made = Draft::new(scene, code, lookup.pid, lookup.since, summary)
        .blocked(Some(lookup.tid).filter(|_| lookup.getaddrinfo.is_some()), syscall, None)
        .fact("asked", [asked(scene, lookup)])
        .role(Role::Resolver);
    if let Some(goroutine) = lookup.goroutine {
        made = made.goroutine(goroutine, "the answer");
    }
    if !lookup.modules.is_empty() {
        made = made.modules(lookup.modules.clone());
    }
    if let Some(server) = server {
        made = made.fact("server", [server_line(scene, lookup, server)]).peer(Peer {
            address: Some(server.ip().to_string()),
            port: Some(server.port()),
            protocol: "udp".to_owned(),
            ..Peer::default()
        });
    }
    if let Some(how) = lookup.getaddrinfo {
        let text = match how {
            ByLibc::Seen => "libc's getaddrinfo asks",
            ByLibc::NscdStep => "libc's getaddrinfo asks (inferred from its nscd step)",
            ByLibc::Polls => "a thread waits in poll(2), as libc's getaddrinfo does",
        };
        made = made.evidence(text, lookup.since, "getaddrinfo-start");
    }
    made
}

/// Whether what is open was asked over TCP, as an answer is that did not fit into a datagram (RFC 1035, 4.2.1).
pub(super) fn is_over_tcp(scene: &Scene<'_>, lookup: &Lookup) -> bool {
    let open = lookup.unanswered();
    let by_tcp = |q: &&Question| {
        let session = scene.session;
        let mut connections = session.connections.iter().chain(&session.found_connections);
        connections.any(|c| c.socket == q.socket && c.transport == Transport::Tcp)
    };
    !open.is_empty() && open.iter().all(by_tcp)
}

/// `IPv4 and IPv6 address of proxy.example.com, over UDP`.
fn asked(scene: &Scene<'_>, lookup: &Lookup) -> String {
    if lookup.name.is_empty() {
        return "a name that was asked for before gmtrace looked".to_owned();
    }
    let how = match is_over_tcp(scene, lookup) {
        true => "over TCP, for the answer over UDP was cut short",
        false => "over UDP",
    };
    format!("{} of {}, {how}", what(lookup), lookup.name)
}

/// `IPv4 and IPv6 address`.
fn what(lookup: &Lookup) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for question in lookup.unanswered_or_all() {
        let kind = match question.qtype.as_str() {
            "" => return "an address".to_owned(),
            "A" => "IPv4",
            "AAAA" => "IPv6",
            other => other,
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.sort_unstable();
    let kinds = text::list(&kinds);
    match missing_record(lookup) {
        Some(record) => format!("{kinds} address (the {record} record)"),
        None => format!("{kinds} address"),
    }
}

/// The type that is not answered where the other one is: Go and libc ask for both addresses, and wait for both. A question that was
/// answered has no socket any more, so of a look-up that was found only the open ones are there.
pub(super) fn missing_record(lookup: &Lookup) -> Option<&str> {
    let missing = lookup.unanswered();
    let answered = lookup.newest().iter().any(|q| q.answer.is_some());
    let known = match missing.as_slice() {
        [_only] => answered || lookup.found,
        _ => answered,
    };
    let record = missing.first()?.qtype.as_str();
    Some(record).filter(|record| known && !record.is_empty())
}

/// `192.0.2.53 port 53, the only one in /etc/resolv.conf`.
fn server_line(scene: &Scene<'_>, lookup: &Lookup, server: SocketAddr) -> String {
    let listed = scene.session.settings_for(lookup.pid).map(|s| s.nameservers.as_slice());
    let listed = listed.unwrap_or_default();
    let ip = server.ip().to_string();
    let which = match (listed.iter().position(|s| *s == ip), listed.len()) {
        (Some(_), 1) => ", the only one in /etc/resolv.conf".to_owned(),
        (Some(n), len) => format!(", number {} of {len} in /etc/resolv.conf", n + 1),
        (None, 0) => String::new(),
        (None, _) => ", not in /etc/resolv.conf".to_owned(),
    };
    format!("{} port {}{which}", server.ip(), server.port())
}

/// When the questions in `questions` were sent: `asked 5.2 s and 0.2 s ago`.
pub(super) fn times(scene: &Scene<'_>, lookup: &Lookup, questions: &[&Question]) -> String {
    let mut times: Vec<Nanos> = Vec::new();
    for t in questions.iter().map(|q| q.t) {
        // A and AAAA go out together.
        if !times.iter().any(|seen| t.since(*seen).0.max(seen.since(t).0) < 300_000_000) {
            times.push(t);
        }
    }
    if lookup.found {
        let first = times.iter().min().copied().unwrap_or(scene.now);
        return match scene.now.since(first) {
            Nanos(0) => "asked, and not answered yet".to_owned(),
            _ => format!("asked {} ago, or longer", scene.exactly(first)),
        };
    }
    let said: Vec<String> = times.iter().rev().take(3).rev().map(|t| scene.exactly(*t)).collect();
    format!("asked {} ago", text::list(&said))
}

/// What go does after a resolver's silence.
pub(super) fn limit(scene: &Scene<'_>, lookup: &Lookup) -> Option<String> {
    if !scene.is_stall() || !scene.is_go(lookup.pid) {
        return None;
    }
    let listed = scene.session.settings_for(lookup.pid).map_or(0, |s| s.nameservers.len());
    if lookup.servers().len() < listed.min(3) {
        return Some("go asks the next name server after 5 s".to_owned());
    }
    let servers =
        scene.session.settings_for(lookup.pid).map_or(1, |s| s.nameservers.len().clamp(1, 3))
            as u64;
    // Two attempts of 5 s at each server (net/dnsconfig_unix.go), for every name of the search list, inside the dial's 30 s.
    let budget = Nanos::from_secs((10 * servers).min(30));
    let left = budget.0.saturating_sub(scene.now.since(lookup.since).0);
    if left == 0 {
        return Some("go asks a few times and then fails".to_owned());
    }
    let comma = proxies_end_here(scene, lookup);
    Some(format!("go fails in about {}{comma}", text::duration(left, text::Style::About)))
}

fn proxies_end_here(scene: &Scene<'_>, lookup: &Lookup) -> &'static str {
    let settings = scene.session.settings_for(lookup.pid);
    let proxy = settings.and_then(|s| s.env.get("GOPROXY")).map(|s| s.value.as_str());
    match proxy {
        Some(list) if list.contains(',') && !list.contains('|') => {
            "; \",\" in GOPROXY means no second try"
        }
        _ => "",
    }
}

/// How sure: what was asked and not answered is seen; at the end only what the command said makes it sure. Of a socket that is
/// open the question was not seen.
pub(super) fn confidence(scene: &Scene<'_>, lookup: &Lookup) -> Confidence {
    if lookup.name.is_empty() {
        return Confidence::Likely;
    }
    if scene.is_stall() || scene.said(&lookup.name).is_some() {
        Confidence::Certain
    } else {
        Confidence::Likely
    }
}
