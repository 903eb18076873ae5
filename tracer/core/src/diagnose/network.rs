//! What the rules about connections share.

use super::draft::Draft;
use super::scene::Scene;
use super::target::Target;
use crate::event::ProcessRole;
use crate::report::{Confidence, Finding, Role};
use crate::session::awaited::{Await, Awaited};
use crate::session::{Connection, Phase};
use crate::settings;
use crate::text;
use crate::units::{Nanos, Pid};

/// Connections in one phase to one end, of one process: told as one.
pub(super) struct Group<'a> {
    /// The oldest of them.
    pub(super) oldest: &'a Connection,
    /// How many.
    pub(super) count: usize,
    /// The other end.
    pub(super) target: Target,
    /// The modules that goroutines wait for on them.
    pub(super) modules: Vec<String>,
}

impl<'a> Group<'a> {
    /// One connection alone.
    pub(super) fn of(scene: &Scene<'a>, connection: &'a Connection) -> Group<'a> {
        let target = Target::of(scene, connection);
        let modules = connection.awaited_modules();
        Group { oldest: connection, count: 1, target, modules }
    }

    /// Since when the oldest waits.
    pub(super) fn since(&self) -> Nanos {
        self.oldest.waiting_since()
    }
}

/// What came of that which is waited for.
pub(super) fn nothing(connection: &Connection) -> &'static str {
    if connection.before_pings.is_some() { "nothing but PINGs" } else { "0 bytes" }
}

/// A run that ends leaves attempts and requests behind that had no time to be answered: go dials once more than it needs to.
/// TCP itself gives an answer a second before it asks again (RFC 6298, 2.1).
fn matters(scene: &Scene<'_>, connection: &Connection) -> bool {
    if scene.is_stall() && connection.phase() != Phase::DeadPath {
        return !scene.is_young(connection.pid, connection.waiting_since());
    }
    let until = connection.closed.unwrap_or(scene.now);
    scene.is_stall()
        || connection.failure().is_some()
        || until.since(connection.waiting_since()) >= Nanos::from_secs(1)
}

/// The connections in `phase`, by process and other end.
pub(super) fn groups<'a>(scene: &Scene<'a>, phase: Phase) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for connection in scene.connections(phase).into_iter().filter(|c| matters(scene, c)) {
        let same = groups
            .iter_mut()
            .find(|g| g.oldest.pid == connection.pid && g.oldest.peer == connection.peer);
        match same {
            Some(group) => {
                group.count += 1;
                for module in connection.awaited_modules() {
                    if !group.modules.contains(&module) {
                        group.modules.push(module);
                    }
                }
                // The failure of a run is the newest one; a stall lasts as long as its oldest wait.
                if scene.is_stall() == (connection.waiting_since() < group.since()) {
                    group.oldest = connection;
                }
            }
            None => groups.push(Group::of(scene, connection)),
        }
    }
    groups
}

/// Attempts that failed with one of `errors`: at a stall those of processes that live, at the end of a failed run the newest.
pub(super) fn failed_attempts<'a>(scene: &Scene<'a>, errors: &[&str]) -> Vec<Group<'a>> {
    let mut groups = groups(scene, Phase::Refused);
    groups.retain(|g| g.oldest.failure().is_some_and(|e| errors.contains(&e)));
    // Another address of the same name may have worked: then this one is no reason for anything.
    groups.retain(|g| !another_worked(scene, g));
    if scene.is_stall() { Vec::new() } else { groups }
}

/// Whether a later attempt of the same process succeeded, on the same port or at another address of the same name.
fn another_worked(scene: &Scene<'_>, group: &Group<'_>) -> bool {
    scene.session.connections.iter().any(|c| {
        c.pid == group.oldest.pid
            && c.since >= group.oldest.since
            && c.is_established()
            && (c.peer.port() == group.oldest.peer.port()
                || group.target.host.is_some() && Target::of(scene, c).host == group.target.host)
    })
}

/// How sure a finding about a connection is: of an open wait the kernel speaks; of a failed one, what the command said.
pub(super) fn confidence(scene: &Scene<'_>, connection: &Connection) -> Confidence {
    if scene.is_stall() || scene.blames(connection) {
        Confidence::Certain
    } else {
        Confidence::Likely
    }
}

/// A finding about a connection.
pub(super) fn draft<'a, 's>(
    scene: &'s Scene<'a>,
    code: &str,
    group: &Group<'a>,
    summary: String,
) -> Draft<'a, 's> {
    let made = Draft::new(scene, code, group.oldest.pid, group.since(), summary)
        .connection(group.oldest, &group.target)
        .confidence(confidence(scene, group.oldest));
    let made = match (group.oldest.shown_by_probe(), group.oldest.awaited()) {
        (Some(asked), _) => {
            let awaited = &asked.awaited;
            made.goroutine_by(awaited.goroutine, &words(awaited), asked.t, "go-request")
        }
        (None, Some(awaited)) => made.goroutine(awaited.goroutine, &words(awaited)),
        (None, None) => made,
    };
    if !group.modules.is_empty() {
        return made.modules(group.modules.clone());
    }
    match asked_module(scene, group.oldest) {
        Some(module) if !made.has_modules() => made.modules(vec![module]),
        _ => made,
    }
}

/// `the response to GET https://proxy.example.com/...`.
fn words(awaited: &Awaited) -> String {
    let request = match (&awaited.method, &awaited.url) {
        (Some(method), Some(url)) => format!(" to {method} {url}"),
        (None, Some(url)) => format!(" to {url}"),
        _ => String::new(),
    };
    let host = awaited.host.as_ref().map(|host| format!(" with {host}")).unwrap_or_default();
    match awaited.what {
        Await::Idle => "nothing here".to_owned(),
        Await::LookUp => "an address".to_owned(),
        Await::Connect => format!("a connection{host}"),
        Await::Tunnel => format!("a web proxy, for a connection{host}"),
        Await::Handshake => format!("the TLS handshake{host}"),
        Await::Response => format!("the response{request}"),
        Await::Body => "the rest of a response".to_owned(),
    }
}

/// The module whose `.mod`, `.info` or zip the first request asks for, while nothing has come in answer.
fn asked_module(scene: &Scene<'_>, connection: &Connection) -> Option<String> {
    let request = connection.request.as_ref().filter(|_| connection.bytes_received() == 0)?;
    let url = url::Url::parse(&request.url).ok()?;
    let (module, _) = settings::asked_module(&scene.session.proxies_for(connection.pid), &url)?;
    module.contains('@').then_some(module)
}

/// The remedy that helps against a silent or unreachable module proxy: another way to the same modules.
pub(super) fn way_round(scene: &Scene<'_>, pid: Pid, target: &Target) -> Option<(String, String)> {
    way_round_role(scene, pid, target.role?)
}

/// The same, by role.
pub(super) fn way_round_role(scene: &Scene<'_>, pid: Pid, role: Role) -> Option<(String, String)> {
    let words = scene.paste(pid);
    // A module proxy that asks another one is no go command, and has settings of its own.
    let is_git = scene.session.role_of_process(pid) == ProcessRole::Git;
    if !(scene.is_go(pid) || role == Role::WebProxy && is_git) {
        return None;
    }
    match role {
        Role::ModuleProxy | Role::Redirect => {
            let text = match scene.locked_modules(pid).is_empty() {
                true => "another way to the same modules:",
                false => "Ctrl-C first (a second go would queue behind this one), then",
            };
            Some((text.to_owned(), format!("GOPROXY=direct {words}")))
        }
        Role::Sumdb => Some((
            "if this network may not reach it, leave the checksum database out:".to_owned(),
            format!("GONOSUMDB='*' {words}"),
        )),
        Role::Toolchain => Some((
            "use the toolchain that is installed:".to_owned(),
            format!("GOTOOLCHAIN=local {words}"),
        )),
        Role::WebProxy if scene.is_go(pid) => Some((
            "without the web proxy:".to_owned(),
            format!("env -u HTTPS_PROXY -u HTTP_PROXY -u https_proxy -u http_proxy {words}"),
        )),
        // What git runs is not called by hand, and git has a setting of its own.
        Role::WebProxy => Some((
            "the web proxy is git's: see where it was set:".to_owned(),
            "git config --show-origin --get-regexp '^http.*proxy$'; env | grep -i _proxy"
                .to_owned(),
        )),
        _ => None,
    }
}

/// `0 bytes back for 8.1 s`.
pub(super) fn nothing_back(scene: &Scene<'_>, since: Nanos) -> String {
    format!("0 bytes back for {}", scene.exactly(since))
}

/// Adds the remedy that fits the target, and what to check from a shell.
pub(super) fn with_remedies(
    draft: Draft<'_, '_>,
    scene: &Scene<'_>,
    pid: Pid,
    target: &Target,
) -> Finding {
    let draft = match way_round(scene, pid, target) {
        Some((text, command)) => draft.remedy(text, Some(command)),
        None => draft,
    };
    if scene.session.role_of_process(pid) == ProcessRole::Ssh {
        let host = super::paste::word(&target.authority());
        let ask = format!("ssh -v -T -o ConnectTimeout=10 -p {} {host}", target.port);
        return draft.remedy("see how far ssh gets:", Some(ask)).done();
    }
    let ask = format!("curl -sv -m 10 -o /dev/null {}", super::paste::word(&target.url()));
    draft.remedy("see whether it answers anything else:", Some(ask)).done()
}

/// `48 kB of data`, or nothing where none came.
pub(super) fn received(connection: &Connection) -> String {
    text::bytes(connection.bytes_received())
}
