//! Following who waits for whom, from the command to the root. The root gives the code, the first link the symptom.

use super::other_end;
use super::scene::Scene;
use super::weaker;
use crate::event::ProcessRole;
use crate::report::{Confidence, Fact, Finding, Holder, Link, Peer, Remedy};
use crate::session::awaited;
use crate::text;
use crate::units::{Nanos, Pid};
use std::net::SocketAddr;

/// How long a chain may be; longer ones are cut.
const LONGEST: usize = 16;

/// Joins findings of single processes into chains, and leaves out processes that are nobody's business.
pub(super) fn follow(scene: &Scene<'_>, found: Vec<Finding>) -> Vec<Finding> {
    let found: Vec<Finding> = found.iter().map(|f| behind_child(scene, f, &found)).collect();
    let chains: Vec<Finding> = found
        .iter()
        .filter(|f| in_tree(scene, f.blocked.pid))
        .map(|f| {
            let mut path = Vec::new();
            let joined = join(scene, f, &found, &mut path);
            from_command(scene, joined)
        })
        .map(|f| with_waiters(scene, f, &found))
        .collect();
    chains
}

fn in_tree(scene: &Scene<'_>, pid: Pid) -> bool {
    scene.session.processes.contains_key(&pid)
        || scene.session.state_of(pid).is_some_and(|p| p.in_tree)
}

/// A process that waits for a child leaves the connections of before idle, and an idle connection may look like one that waits: where
/// the child waits for something itself, that is the better answer.
fn behind_child(scene: &Scene<'_>, finding: &Finding, found: &[Finding]) -> Finding {
    let mut finding = finding.clone();
    let pid = finding.blocked.pid;
    let of_child = |f: &&Finding| {
        f.blocked.pid != pid
            && f.confidence >= Confidence::Likely
            && (f.peer.is_some() || matches!(f.code.as_str(), "prompt" | "helper-silent"))
            && f.since_ns >= finding.since_ns
            && scene.session.is_below(f.blocked.pid, pid)
    };
    if finding.peer.is_some()
        && finding.confidence == Confidence::Likely
        && found.iter().any(|f| of_child(&f))
    {
        finding.confidence = Confidence::Possible;
    }
    finding
}

/// The finding of one process, joined with that of whom it waits for.
fn join(scene: &Scene<'_>, finding: &Finding, found: &[Finding], path: &mut Vec<Pid>) -> Finding {
    path.push(finding.blocked.pid);
    match finding.code.as_str() {
        _ if path.len() >= LONGEST => finding.clone(),
        "lock-held" => join_lock(scene, finding, found, path),
        _ => join_other_end(scene, finding, found, path),
    }
}

fn join_lock(
    scene: &Scene<'_>,
    finding: &Finding,
    found: &[Finding],
    path: &mut Vec<Pid>,
) -> Finding {
    let pid = finding.blocked.pid;
    let holders = finding.lock.as_ref().map_or(&[][..], |l| &l.holders);
    // Whoever started the one who waits, waits for its end.
    let above = |holder: Pid| holder != pid && scene.session.is_below(pid, holder);
    if let Some(holder) = holders.iter().find(|h| path.contains(&h.pid) || above(h.pid)) {
        return super::lock_cycle::closed(scene, finding, holder.pid, path);
    }
    for holder in holders.iter().filter(|h| h.alive) {
        let module = finding.lock.as_ref().and_then(|lock| scene.module_of(pid, &lock.path));
        let theirs = best_below(scene, holder.pid, module.as_deref(), found);
        let Some(theirs) = theirs else { continue };
        let root = join(scene, &theirs, found, path);
        return behind_lock(scene, finding, holder, from(scene, holder.pid, root));
    }
    finding.clone()
}

/// What the process at the other end of a connection, a unix socket or a pipe waits for is what is waited for.
fn join_other_end(
    scene: &Scene<'_>,
    finding: &Finding,
    found: &[Finding],
    path: &mut Vec<Pid>,
) -> Finding {
    let ends = other_end::of(scene, finding);
    let ends = ends.iter().filter(|far| !path.contains(&far.pid));
    for far in ends.clone() {
        let Some(theirs) = other_end::best(scene, far.pid, found) else { continue };
        if !path.contains(&theirs.blocked.pid) {
            path.push(far.pid);
            let root = join(scene, theirs, found, path);
            let root = from(scene, far.pid, root);
            return other_end::behind(scene, finding, far, &root, held_up(scene, &root));
        }
    }
    match ends.clone().next() {
        Some(far) => other_end::named(scene, finding, far),
        None => finding.clone(),
    }
}

/// The best finding of `holder`, or of what runs below it, that may keep it from giving up the lock of `module`. What a go command
/// waits for to get another module comes last and is not certain: goroutines share look-ups, tiles and limits.
fn best_below(
    scene: &Scene<'_>,
    holder: Pid,
    module: Option<&str>,
    found: &[Finding],
) -> Option<Finding> {
    let below = found
        .iter()
        .filter(|f| !super::is_last_resort(f) && scene.session.is_below(f.blocked.pid, holder));
    let others = |f: &Finding| {
        f.blocked.pid == holder && module.is_some_and(|module| is_for_others(scene, f, module))
    };
    let best = below
        .filter(|f| !(f.code == "lock-held" && others(f)))
        .min_by_key(|f| (others(f), super::order(f)))?;
    let mut best = best.clone();
    if others(&best) {
        best.confidence = weaker(best.confidence, Confidence::Likely);
    }
    Some(best)
}

/// Whether a go command waits so for other modules than that whose version it has locked: it downloads ten at a time, each in a
/// goroutine of its own, and a goroutine locks one version only (lockVersion in cmd/go/internal/modfetch). What stops the whole
/// process is for all of them.
fn is_for_others(scene: &Scene<'_>, finding: &Finding, locked: &str) -> bool {
    if !scene.is_go(finding.blocked.pid) {
        return false;
    }
    if let Some(lock) = finding.lock.as_ref().filter(|_| finding.code == "lock-held") {
        let wanted = scene.module_of(finding.blocked.pid, &lock.path);
        return wanted.is_some_and(|wanted| wanted != locked);
    }
    let all_told = finding.modules.len() as u64 == finding.modules_total;
    let path = locked.split_once('@').map_or(locked, |(path, _)| path);
    let is_it = |module: &String| module == locked || module == path;
    finding.peer.is_some()
        && all_told
        && !finding.modules.is_empty()
        && !finding.modules.iter().any(is_it)
}

/// `finding` waits for a lock whose `holder` is itself stuck for the reason `root`.
fn behind_lock(scene: &Scene<'_>, finding: &Finding, holder: &Holder, root: Finding) -> Finding {
    let mut joined = root.clone();
    let who = if scene.is_go(holder.pid) { "another go command" } else { "another process" };
    let on = joined.peer.as_ref().and_then(name_of);
    joined.summary = match (on, joined.code.as_str()) {
        (_, "stopped") => format!("{who} is in the way, and it is stopped."),
        (_, "frozen") => format!("{who} is in the way, and it is frozen."),
        (_, "throttled") => format!("{who} is in the way, and hardly gets a CPU."),
        (Some(host), _) => format!("{who} is in the way, stuck on {host}."),
        (_, "lock-cycle") => root.summary.clone(),
        (None, "lock-held") => format!("{who} is in the way, itself waiting for a lock."),
        (None, _) => format!("{who} is in the way: {}", root.summary),
    };
    joined.symptom.clone_from(&finding.symptom);
    joined.confidence = weaker(finding.confidence, joined.confidence);
    joined.since_ns = finding.since_ns;
    joined.blocked_ns = finding.blocked_ns;
    joined.facts = lock_facts(scene, finding, holder, &root);
    joined.blocked = finding.blocked.clone();
    joined.lock.clone_from(&finding.lock);
    joined.modules.clone_from(&finding.modules);
    joined.modules_total = finding.modules_total;
    joined.chain.splice(0..0, finding.chain.iter().cloned());
    joined.evidence.splice(0..0, finding.evidence.iter().cloned());
    joined.remedies = remedies(scene, finding, &joined);
    joined.limit = Some("none: a lock is waited for without end".to_owned());
    joined
}

/// The name of the other end, or its address, with the port where that is not an ordinary one.
pub(super) fn name_of(peer: &Peer) -> Option<String> {
    let address = || match (peer.address.clone()?, peer.port) {
        (address, Some(80 | 443) | None) => Some(address),
        (address, Some(port)) if address.contains(':') => Some(format!("[{address}]:{port}")),
        (address, Some(port)) => Some(format!("{address}:{port}")),
    };
    peer.host.clone().or_else(address)
}

/// Who holds everybody up is let run, or ended before the one who waits begins again.
fn remedies(scene: &Scene<'_>, finding: &Finding, joined: &Finding) -> Vec<Remedy> {
    if matches!(joined.code.as_str(), "stopped" | "frozen" | "throttled") {
        let never = finding.remedies.iter().filter(|remedy| !remedy.safe);
        return joined.remedies.iter().chain(never).cloned().collect();
    }
    let outside = joined.chain.iter().map(|link| link.pid).filter(|pid| !in_tree(scene, *pid));
    let mut pids: Vec<Pid> = outside.collect();
    pids.dedup();
    match joined.code.as_str() {
        "lock-cycle" => super::lock_cycle::remedies(&pids),
        _ => {
            let mut remedies = super::lock_held::remedies(scene, finding, &pids, Some(joined));
            // Where no server is to blame, what the holder waits for is to be mended, or whoever gets the lock waits for it again.
            let own = joined.remedies.iter().filter(|remedy| remedy.safe && joined.peer.is_none());
            remedies.extend(own.take(1).cloned());
            remedies
        }
    }
}

/// What was found of the lock, with what its holder waits for.
fn lock_facts(scene: &Scene<'_>, finding: &Finding, holder: &Holder, root: &Finding) -> Vec<Fact> {
    let lines = vec![super::lock_held::words(scene, holder), held_up(scene, root)];
    let mut facts = finding.facts.clone();
    for fact in facts.iter_mut().filter(|fact| fact.label == "holder") {
        fact.lines.clone_from(&lines);
    }
    facts
}

/// `waits 6 min for an answer from proxy.example.com, 192.0.2.10:443`.
fn held_up(scene: &Scene<'_>, root: &Finding) -> String {
    // Of a process outside the beginning of a wait may not be known.
    let long = scene.now.since(root.since_ns) >= Nanos::from_secs(1);
    let time = if long { format!("{} ", scene.ago(root.since_ns)) } else { String::new() };
    if let Some(link) = root.chain.first().filter(|_| root.symptom == "lock-held") {
        return format!("waits {time}for {}", link.waits_for);
    }
    let what = match root.code.as_str() {
        "http-silent" => "an answer from",
        "body-stalled" => "more data from",
        "connect-silent" => "a connection to",
        "tls-silent" => "the TLS handshake with",
        "peer-dead" => "a sign of life from",
        "stopped" | "frozen" | "throttled" => return root.summary.trim_end_matches('.').to_owned(),
        _ => return format!("waits {time}({})", root.summary.trim_end_matches('.')),
    };
    let peer = root.peer.as_ref();
    let end = peer.and_then(|p| {
        Some(SocketAddr::new(p.address.as_ref()?.parse().ok()?, p.port?).to_string())
    });
    let host = peer.and_then(|p| p.host.clone());
    let whom = host.into_iter().chain(end).collect::<Vec<_>>().join(", ");
    format!("waits {time}for {what} {whom}")
}

/// Puts the processes between the command and the blocked one in front of the chain: go > git > git-remote-https.
fn from_command(scene: &Scene<'_>, finding: Finding) -> Finding {
    let blocked = finding.chain.first().map_or(finding.blocked.pid, |l| l.pid);
    let top = scene
        .session
        .clocks()
        .into_iter()
        .find(|pid| *pid != blocked && scene.session.is_below(blocked, *pid))
        .unwrap_or(blocked);
    from(scene, top, finding)
}

/// Puts the processes from `top` down to the blocked one in front of the chain.
fn from(scene: &Scene<'_>, top: Pid, mut finding: Finding) -> Finding {
    let Some(first) = finding.chain.first().map(|l| l.pid) else { return finding };
    let Some(above) = above(scene, top, first).filter(|above| !above.is_empty()) else {
        return finding;
    };
    let down: Vec<Pid> = above.iter().copied().chain([first]).collect();
    take_modules(scene, &down, &mut finding);
    let words: Vec<String> = down
        .iter()
        .enumerate()
        .map(|(n, pid)| format!("{} ({pid})", in_a_row(scene, *pid, n)))
        .collect();
    let waiting =
        finding.facts.first_mut().filter(|f| matches!(f.label.as_str(), "waiting" | "you"));
    if let Some(line) = waiting.and_then(|f| f.lines.first_mut()) {
        *line = words.join(" > ");
    }
    let links = down.windows(2).filter_map(|pair| match pair {
        [parent, child] => Some(Link {
            pid: *parent,
            argv: scene.session.argv(*parent),
            waits_for: format!("its child {}", scene.command(*child)),
            because: format!("{child} runs, and was started by {parent}"),
        }),
        _ => None,
    });
    finding.chain.splice(0..0, links.collect::<Vec<_>>());
    finding
}

/// What a goroutine that waits for one of these processes works on is what the wait is for.
fn take_modules(scene: &Scene<'_>, down: &[Pid], finding: &mut Finding) {
    if !finding.modules.is_empty() {
        return;
    }
    let modules = down.windows(2).find_map(|pair| match pair {
        [parent, child] => {
            let go = scene.session.state_of(*parent)?.go.as_ref()?;
            awaited::child(go, child.0).map(|(_, modules)| modules)
        }
        _ => None,
    });
    for module in modules.into_iter().flatten() {
        finding.modules_total += 1;
        let fact = Fact { label: "module".to_owned(), lines: vec![text::module(&module)] };
        finding.facts.insert(finding.facts.len().min(1), fact);
        finding.modules.push(module);
    }
}

/// The processes from `top` down to the parent of `pid`; none where `pid` is not below. `git remote-https`, which does nothing but
/// start git-remote-https, is left out.
fn above(scene: &Scene<'_>, top: Pid, pid: Pid) -> Option<Vec<Pid>> {
    let mut above = Vec::new();
    let mut at = pid;
    while at != top && above.len() < LONGEST {
        at = scene.session.parent(at).filter(|p| p.0 > 0)?;
        above.push(at);
    }
    above.retain(|pid| !is_remote_wrapper(scene, *pid));
    above.reverse();
    Some(above)
}

fn is_remote_wrapper(scene: &Scene<'_>, pid: Pid) -> bool {
    let argv = scene.session.argv(pid);
    scene.session.role_of_process(pid) == ProcessRole::Git
        && argv.get(1).is_some_and(|word| word.starts_with("remote-"))
}

/// The words of a process in a row of them: all of the first, of the others the program and what it does (`git ls-remote`).
fn in_a_row(scene: &Scene<'_>, pid: Pid, n: usize) -> String {
    let words = scene.words(pid);
    if n == 0 || scene.is_go(pid) {
        return words;
    }
    let takes = usize::from(words.starts_with("git ")) + 1;
    words.split(' ').take(takes).collect::<Vec<_>>().join(" ")
}

/// Who waits for a lock that a process of this finding's chain holds.
fn with_waiters(scene: &Scene<'_>, mut finding: Finding, found: &[Finding]) -> Finding {
    let chain: Vec<Pid> = finding.chain.iter().map(|l| l.pid).collect();
    for other in found.iter().filter(|f| f.symptom == "lock-held") {
        let held = other.lock.iter().flat_map(|l| &l.holders).any(|h| chain.contains(&h.pid));
        if held && !chain.contains(&other.blocked.pid) {
            finding.waiters.push(Link {
                pid: other.blocked.pid,
                argv: scene.session.argv(other.blocked.pid),
                waits_for: format!("a lock that {} holds", scene.command(finding.blocked.pid)),
                because: "kernel lock table".to_owned(),
            });
        }
    }
    finding
}
