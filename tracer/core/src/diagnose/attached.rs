//! A finding in the words for someone who asks about a command that already hangs: who waits for whom, and
//! since when; not "you", and no Ctrl-C.

use super::chain::name_of;
use super::scene::{Moment, Scene};
use crate::report::{Fact, Finding, Peer, Remedy};
use crate::session::Session;
use crate::text::{self, Style};
use crate::units::{Nanos, Pid};

/// How many modules are named.
const NAMED_MODULES: usize = 3;
/// How many of those behind it are named.
const NAMED_WAITERS: usize = 3;

/// The same finding. What is not known from before `first_look` is said to be so; `checked` is what a second reading said.
pub fn tell(
    session: &Session,
    mut finding: Finding,
    first_look: Nanos,
    checked: Option<&str>,
) -> Finding {
    let scene = &Scene::new(session, Moment::Stall);
    let top = finding.chain.first().map_or(finding.blocked.pid, |link| link.pid);
    finding.summary = summary(scene, &finding, top);
    let mut facts = vec![since(scene, &finding, top, first_look)];
    facts.extend(modules(&finding));
    facts.extend(finding.facts.drain(..).filter_map(kept));
    facts.extend(checked.map(|checked| fact("checked", vec![checked.to_owned()])));
    facts.extend(behind(scene, &finding));
    finding.facts = facts;
    finding.remedies = remedies(&finding);
    finding
}

/// The name of the other end, or its address, with the port where that is not an ordinary one.
pub fn name_of_peer(peer: &Peer) -> Option<String> {
    name_of(peer)
}

fn fact(label: &str, lines: Vec<String>) -> Fact {
    Fact { label: label.to_owned(), lines }
}

/// The first line: `go list ./... (pid 41190) is waiting for proxy.example.com to answer.`
fn summary(scene: &Scene<'_>, finding: &Finding, top: Pid) -> String {
    let who = scene.command(top);
    if finding.symptom == "lock-held" && finding.code != "lock-cycle" {
        return behind_lock(scene, finding, &who);
    }
    let peer = finding.peer.as_ref().and_then(name_of);
    match (finding.code.as_str(), peer) {
        ("http-silent", Some(name)) => format!("{who} is waiting for {name} to answer."),
        ("body-stalled", Some(name)) => format!("{who} is waiting for {name} to send the rest."),
        ("connect-silent", Some(name)) => {
            format!("{who} is waiting for {name} to accept a connection.")
        }
        ("tls-silent", Some(name)) => format!("{who} is waiting for {name} to answer in TLS."),
        ("tunnel-silent", Some(name)) => format!("{who} is waiting for web proxy {name}."),
        ("dns-silent", Some(_)) => {
            let ip = finding.peer.as_ref().and_then(|p| p.address.clone()).unwrap_or_default();
            format!("{who} is waiting for name server {ip} to answer.")
        }
        ("peer-dead", Some(name)) => format!("{who} is waiting for {name}: the way there is dead."),
        _ if finding.summary.contains("(pid ") => finding.summary.clone(),
        _ => format!("{who} waits: {}", finding.summary),
    }
}

fn behind_lock(scene: &Scene<'_>, finding: &Finding, who: &str) -> String {
    let holder = finding.lock.iter().flat_map(|lock| &lock.holders).next();
    let holder = holder.map_or_else(|| "another process".to_owned(), |h| scene.command(h.pid));
    let peer = finding.peer.as_ref().and_then(name_of);
    match (finding.code.as_str(), peer) {
        ("lock-held", _) => format!("{who} is waiting for a lock that {holder} holds."),
        ("stopped" | "frozen", _) => {
            format!("{who} is waiting for a lock; {holder} holds it and is {}.", finding.code)
        }
        (_, Some(name)) => {
            format!("{who} is waiting for a lock; {holder} holds it, stuck on {name}.")
        }
        (_, None) => match finding.summary.split_once(" is in the way: ") {
            Some((_, why)) => format!("{who} is waiting for a lock that {holder} holds: {why}"),
            None => format!("{who} is waiting for a lock; {holder} holds it, and waits itself."),
        },
    }
}

/// `since     6 min 12 s, in /home/u/app, started by gopls (pid 3300)`.
fn since(scene: &Scene<'_>, finding: &Finding, top: Pid, first_look: Nanos) -> Fact {
    let state = scene.session.state_of(top);
    let time = match finding.since_ns < first_look {
        true => text::duration(finding.blocked_ns.0, Style::Exact),
        // A system call does not say when it began.
        false => match state {
            Some(p) => format!("unknown; it runs for {}", text::duration(p.age_ns.0, Style::Exact)),
            None => "unknown".to_owned(),
        },
    };
    let place = state.and_then(|p| p.cwd.as_ref()).map(|cwd| format!("in {cwd}"));
    let starter = state.and_then(|p| p.started_by.as_ref());
    let starter = starter.map(|s| format!("started by {} (pid {})", s.name, s.pid));
    let said: Vec<String> = std::iter::once(time).chain(place).chain(starter).collect();
    let inner = state.and_then(|p| p.ns_pid).map(|pid| format!("pid {pid} in its container"));
    fact("since", std::iter::once(said.join(", ")).chain(inner).collect())
}

fn modules(finding: &Finding) -> Option<Fact> {
    let mut named: Vec<String> =
        finding.modules.iter().take(NAMED_MODULES).map(|m| text::module(m)).collect();
    let more = finding.modules_total.saturating_sub(NAMED_MODULES as u64);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    (!named.is_empty()).then(|| fact("modules", vec![text::list(&named)]))
}

/// What stays of a rule's lines: who waits stands in the first line already, but for the way down to a child.
fn kept(told: Fact) -> Option<Fact> {
    match told.label.as_str() {
        "waiting" | "you" => {
            let row = told.lines.into_iter().next().filter(|line| line.contains(" > "))?;
            Some(fact("chain", vec![row]))
        }
        "modules" | "module" => None,
        _ => Some(told),
    }
}

/// `behind    go mod download (pid 41207) waits for its lock`.
fn behind(scene: &Scene<'_>, finding: &Finding) -> Option<Fact> {
    let waiters = finding.waiters.iter().take(NAMED_WAITERS);
    let lines = waiters.map(|w| format!("{} waits for its lock", scene.command(w.pid)));
    let mut lines: Vec<String> = lines.collect();
    let more = finding.waiters.len().saturating_sub(NAMED_WAITERS);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    (!lines.is_empty()).then(|| fact("behind", lines))
}

/// Ctrl-C reaches no command in another terminal: there a pid is named, and those who queue behind it.
fn remedies(finding: &Finding) -> Vec<Remedy> {
    let top = finding.chain.first().map(|link| link.pid);
    let holders = finding.chain.iter().filter(|link| {
        let held = finding.lock.iter().flat_map(|lock| &lock.holders);
        held.into_iter().any(|holder| holder.pid == link.pid)
    });
    let mut pids: Vec<Pid> = finding.waiters.iter().map(|w| w.pid).collect();
    pids.extend(top);
    pids.extend(holders.map(|link| link.pid));
    let mut seen = Vec::new();
    pids.retain(|pid| {
        !seen.contains(pid) && {
            seen.push(*pid);
            true
        }
    });
    let named = text::list(&pids.iter().map(Pid::to_string).collect::<Vec<_>>());
    let from_outside = |remedy: &Remedy| {
        let mut remedy = remedy.clone();
        if remedy.text.starts_with("Ctrl-C") {
            let then = if remedy.text.ends_with("start again") { "start again" } else { "" };
            remedy.text = format!("end {named}, then {then}").trim_end().to_owned();
        }
        remedy
    };
    finding.remedies.iter().map(from_outside).collect()
}
