//! Waiting for a process of this machine, at a connection, a unix socket or a pipe: who that is, and what it waits for itself.

use super::far::{self, By, Far};
use super::scene::Scene;
use super::{idle, is_last_resort, weaker};
use crate::event::{Access, Descriptor, DescriptorTarget};
use crate::report::{Evidence, Fact, Finding, Link, Role};
use crate::units::Pid;

/// The processes at the other end of what `finding` says is waited at.
pub(super) fn of(scene: &Scene<'_>, finding: &Finding) -> Vec<Far> {
    let blocked = &finding.blocked;
    let Some(process) = scene.session.state_of(blocked.pid) else { return Vec::new() };
    let Some(descriptor) = process.descriptors.iter().find(|d| Some(d.fd) == blocked.fd) else {
        return Vec::new();
    };
    match finding.code.as_str() {
        "http-silent" | "body-stalled" | "connect-silent" | "tls-silent" | "tunnel-silent" => {
            match descriptor.target {
                DescriptorTarget::Socket(inode) if is_of(scene, finding, descriptor) => {
                    far::of_socket(scene, process.pid, inode)
                }
                _ => Vec::new(),
            }
        }
        "child-waiting" | "helper-silent" | "not-go" | "output-blocked" => {
            far::of(scene, process, descriptor)
        }
        _ => Vec::new(),
    }
}

/// A number of a descriptor may be in use for another socket by now.
fn is_of(scene: &Scene<'_>, finding: &Finding, descriptor: &Descriptor) -> bool {
    let DescriptorTarget::Socket(inode) = descriptor.target else { return false };
    let peer = scene.session.socket(inode).and_then(|socket| socket.peer);
    let said = finding.peer.as_ref();
    peer.is_some_and(|peer| {
        said.and_then(|p| p.address.as_deref()) == Some(peer.ip().to_string().as_str())
            && said.and_then(|p| p.port) == Some(peer.port())
    })
}

/// The best reason why `pid` does not answer: its own, or that of a child whose output it reads. What else it has started is no
/// business of those it serves.
pub(super) fn best<'f>(scene: &Scene<'_>, pid: Pid, found: &'f [Finding]) -> Option<&'f Finding> {
    let tells = |f: &&Finding| !is_last_resort(f) && !idle::is_guess(f);
    let own = found.iter().filter(tells).filter(|f| f.blocked.pid == pid);
    let read = children_read(scene, pid);
    let below = found.iter().filter(tells).filter(|f| {
        read.iter()
            .any(|child| f.blocked.pid == *child || scene.is_child_now(f.blocked.pid, *child))
    });
    own.chain(below).min_by_key(|f| super::order(f))
}

/// The children of `pid` whose output it reads.
fn children_read(scene: &Scene<'_>, pid: Pid) -> Vec<Pid> {
    let Some(process) = scene.session.state_of(pid) else { return Vec::new() };
    let reads = |d: &&Descriptor| {
        matches!(d.target, DescriptorTarget::Pipe(_)) && d.access == Some(Access::Read)
    };
    let ends = process.descriptors.iter().filter(reads).flat_map(|d| far::of(scene, process, d));
    ends.map(|far| far.pid).filter(|child| scene.is_child_now(*child, pid)).collect()
}

/// `finding` waits for the process `far`, which is itself stuck for the reason `root`: it `waits` for something.
pub(super) fn behind(
    scene: &Scene<'_>,
    finding: &Finding,
    far: &Far,
    root: &Finding,
    waits: String,
) -> Finding {
    let mut joined = root.clone();
    let what = what(scene, finding, far);
    let on = root.peer.as_ref().and_then(super::chain::name_of);
    joined.summary = match (root.code.as_str(), on) {
        ("stopped" | "frozen", _) => format!("{what} on this machine is {}.", root.code),
        ("lock-cycle", _) => root.summary.clone(),
        (_, Some(host)) => format!("{what} on this machine is itself stuck on {host}."),
        (_, None) => format!("{what} on this machine waits itself."),
    };
    joined.symptom.clone_from(&finding.symptom);
    joined.confidence = weaker(finding.confidence, root.confidence);
    joined.since_ns = finding.since_ns;
    joined.blocked_ns = finding.blocked_ns;
    joined.blocked = finding.blocked.clone();
    joined.role = root.role.or(finding.role);
    joined.limit.clone_from(&finding.limit);
    joined.modules.clone_from(&finding.modules);
    joined.modules_total = finding.modules_total;
    joined.facts.clone_from(&finding.facts);
    joined.facts.insert(place(&joined.facts), process(scene, far, Some(waits)));
    let link = finding.chain.iter().cloned().map(|link| towards(scene, link, finding, far));
    joined.chain.splice(0..0, link.collect::<Vec<_>>());
    joined
        .evidence
        .splice(0..0, finding.evidence.iter().cloned().chain([seen(scene, finding, far)]));
    if !matches!(root.code.as_str(), "stopped" | "frozen" | "lock-cycle") {
        joined.remedies = finding.remedies.iter().take(1).chain(&root.remedies).cloned().collect();
    }
    joined
}

/// `finding`, with the name of the process that it waits for, of which no more is known.
pub(super) fn named(scene: &Scene<'_>, finding: &Finding, far: &Far) -> Finding {
    let mut finding = finding.clone();
    finding.evidence.push(seen(scene, &finding, far));
    finding.facts.insert(place(&finding.facts), process(scene, far, None));
    let first = finding.blocked.pid;
    let because = seen(scene, &finding, far).text;
    finding.chain.push(Link {
        pid: far.pid,
        argv: scene.session.argv(far.pid),
        waits_for: format!("nothing that can be seen: {first} waits for it"),
        because,
    });
    finding
}

/// The link of the process that waits leads to `far` now.
fn towards(scene: &Scene<'_>, link: Link, finding: &Finding, far: &Far) -> Link {
    if link.pid != finding.blocked.pid {
        return link;
    }
    let waits_for = format!("{}, {}", link.waits_for.trim_end_matches('.'), whose(scene, far));
    Link { waits_for, ..link }
}

fn whose(scene: &Scene<'_>, far: &Far) -> String {
    format!("which {} has the other end of", scene.command(far.pid))
}

/// `the module proxy`, `ssh-agent`.
fn what(scene: &Scene<'_>, finding: &Finding, far: &Far) -> String {
    match (&far.by, finding.role) {
        (By::Tcp(_), Some(Role::ModuleProxy)) => "the module proxy".to_owned(),
        (By::Tcp(_), Some(Role::WebProxy)) => "the web proxy".to_owned(),
        (By::Tcp(_), Some(Role::Sumdb)) => "the checksum database".to_owned(),
        (By::Tcp(_), Some(Role::Vcs)) => "the repository's server".to_owned(),
        _ => scene.name(far.pid),
    }
}

/// The process at the other end, and what it waits for.
fn process(scene: &Scene<'_>, far: &Far, waits: Option<String>) -> Fact {
    let first = scene.command_and_starter(far.pid);
    Fact { label: "process".to_owned(), lines: std::iter::once(first).chain(waits).collect() }
}

/// Behind the `server` line, or the first one.
fn place(facts: &[Fact]) -> usize {
    let server = facts.iter().position(|fact| fact.label == "server");
    server.map_or(facts.len().min(1), |n| n + 1)
}

fn seen(scene: &Scene<'_>, finding: &Finding, far: &Far) -> Evidence {
    let at = match &far.by {
        By::Pipe => "a pipe".to_owned(),
        By::Unix(Some(path)) => format!("unix socket {path}"),
        By::Unix(None) => "a unix socket".to_owned(),
        By::Tcp(address) => address.to_string(),
    };
    Evidence {
        text: format!("{} has the other end of {at} of {}", far.pid, finding.blocked.pid),
        t: scene.now,
        source: "snapshot".to_owned(),
    }
}
