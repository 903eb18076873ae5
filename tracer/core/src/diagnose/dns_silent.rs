//! # dns-silent: a resolver was asked and has not answered
//!
//! The name server does not answer, and nothing says that it cannot be reached: a firewall or VPN drops port 53, or the server
//! is down.
//!
//! **Seen by** DNS questions that left, on a socket that is still open, without an answer.
//!
//! **Limit** Go asks each server twice for 5 s, within 30 s in all, and then fails; the next name starts again. libc does much
//! the same. When go fails this way, a comma in GOPROXY does not lead to the next entry.
//!
//! **What to do** Ask the server by hand (`dig @SERVER NAME`). If it is silent, change `/etc/resolv.conf` (docker: `--dns ADDRESS`).

use super::dns::{confidence, draft, is_over_tcp, limit, lookups, missing_record, times};
use super::dns_said;
use super::scene::Scene;
use crate::report::Finding;
use crate::session::Lookup;
use crate::units::Nanos;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    lookups(scene)
        .into_iter()
        .filter(|l| !l.unanswered().is_empty() && l.questions.iter().all(|q| q.error.is_none()))
        .filter_map(|l| silent(scene, l))
        .chain(dns_said::examine(scene, "dns-silent", &["i/o timeout"], |name, who| {
            format!("{who} is silent, asked for {name}.")
        }))
        .collect()
}

fn silent(scene: &Scene<'_>, lookup: &Lookup) -> Option<Finding> {
    let server =
        lookup.silent_servers().first().copied().or_else(|| lookup.servers().first().copied());
    let open: Vec<_> = lookup.questions.iter().filter(|q| q.is_open()).collect();
    let who = server.map_or("the name server".to_owned(), |s| format!("name server {}", s.ip()));
    let what = partly(lookup).unwrap_or_else(|| lookup.name.clone());
    let for_what = if what.is_empty() { String::new() } else { format!(", asked for {what}") };
    let summary = format!("{who} is silent{for_what}.");
    let first = open.first()?.t;
    // A run that ends leaves questions behind that had no time to be answered.
    let until = lookup.ended.unwrap_or(scene.now);
    if !scene.is_stall() && until.since(first) < Nanos::from_secs(1) {
        return None;
    }
    let mut made = draft(scene, "dns-silent", lookup, server, summary)
        .confidence(confidence(scene, lookup))
        .seen(
            format!("{}; no reply, no \"unreachable\"", times(scene, lookup, &open)),
            first,
            "dns-question",
        );
    if let Some(search) = search_list(scene, lookup) {
        made = made.fact("search", [search]);
    }
    if let Some(limit) = limit(scene, lookup) {
        made = made.limit(limit);
    }
    let ip = server.map(|s| s.ip().to_string()).unwrap_or_default();
    let by_tcp = is_over_tcp(scene, lookup);
    let other = match partly(lookup) {
        _ if by_tcp => "a firewall or VPN lets UDP pass to port 53, and drops TCP",
        Some(_) => "the name server leaves questions of this type unanswered",
        None => "a firewall or VPN drops port 53",
    };
    let dig = if by_tcp { "dig +tcp" } else { "dig" };
    // Of itself dig asks for the other one, which is answered.
    let record = missing_record(lookup).map(|record| format!(" {record}")).unwrap_or_default();
    let made = made
        .or_else(other)
        .remedy(
            "ask it by hand:",
            Some(format!("{dig} @{ip} {}{record}", super::paste::word(some_name(lookup)))),
        )
        .remedy("no reply: change resolv.conf (docker: --dns ADDRESS)", None);
    Some(made.done())
}

/// A resolver that is silent answers for no name.
fn some_name(lookup: &Lookup) -> &str {
    if lookup.name.is_empty() { "example.com" } else { &lookup.name }
}

/// `the AAAA record of proxy.example.com`, where only that is missing.
fn partly(lookup: &Lookup) -> Option<String> {
    Some(format!("the {} record of {}", missing_record(lookup)?, lookup.name))
}

/// Many search domains make one look-up into many.
fn search_list(scene: &Scene<'_>, lookup: &Lookup) -> Option<String> {
    let settings = scene.session.settings_for(lookup.pid)?;
    let suffix = settings.search.iter().find(|s| lookup.name.ends_with(&format!(".{s}")))?;
    Some(format!("{suffix} was added from the search list of /etc/resolv.conf"))
}
