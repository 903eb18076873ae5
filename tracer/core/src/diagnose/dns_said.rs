//! What go and git say about a look-up that failed, for runs in which the questions themselves were not seen (`--backend proc`).

use super::draft::Draft;
use super::scene::Scene;
use crate::report::{Finding, Peer, Role};
use crate::units::{Nanos, Pid};

/// A look-up that failed, as net.DNSError tells it: `lookup NAME on SERVER: WHY`.
struct Failure<'a> {
    name: &'a str,
    server: Option<&'a str>,
    why: &'a str,
}

/// The finding `code` of the newest line that fits, where no question was seen.
pub(super) fn examine(
    scene: &Scene<'_>,
    code: &str,
    reasons: &[&str],
    summary: fn(name: &str, server: &str) -> String,
) -> Option<Finding> {
    if !scene.has_failed() || !scene.session.lookups.is_empty() {
        return None;
    }
    let mut lines = scene.session.output.all().rev();
    let ((t, pid, line), failure) = lines.find_map(|(t, pid, line)| {
        let failure = parse(line)?;
        reasons.iter().any(|r| failure.why.contains(r)).then_some(((t, pid, line), failure))
    })?;
    Some(told(scene, code, (t, pid, line), &failure, summary))
}

fn parse(line: &str) -> Option<Failure<'_>> {
    if let Some((_, rest)) = line.split_once("Could not resolve host: ") {
        let name = rest.split_whitespace().next()?;
        return Some(Failure { name, server: None, why: "no such host" });
    }
    let (_, rest) = line.split_once(": lookup ").or_else(|| line.split_once(" lookup "))?;
    let (asked, why) = rest.split_once(": ")?;
    match asked.split_once(" on ") {
        Some((name, server)) => Some(Failure { name, server: Some(server), why }),
        None => Some(Failure { name: asked, server: None, why }),
    }
}

fn told(
    scene: &Scene<'_>,
    code: &str,
    (t, pid, line): (Nanos, Pid, &str),
    failure: &Failure<'_>,
    summary: fn(&str, &str) -> String,
) -> Finding {
    let (ip, port) = failure.server.and_then(|s| s.rsplit_once(':')).unwrap_or(("", ""));
    let ip = ip.trim_matches(['[', ']']);
    let who =
        if ip.is_empty() { "the name server".to_owned() } else { format!("name server {ip}") };
    let made = Draft::new(scene, code, pid, t, summary(failure.name, &who))
        .role(Role::Resolver)
        .fact("asked", [format!("address of {}", failure.name)])
        .seen(line.to_owned(), t, "stderr");
    let made = match port.parse() {
        Ok(port) => made.peer(Peer {
            address: Some(ip.to_owned()),
            port: Some(port),
            protocol: "udp".to_owned(),
            ..Peer::default()
        }),
        Err(_) => made,
    };
    let at = if ip.is_empty() { String::new() } else { format!("@{ip} ") };
    made.remedy("ask it by hand:", Some(format!("dig {at}{}", super::paste::word(failure.name))))
        .done()
}
