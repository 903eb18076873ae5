//! # prompt: a child waits for someone to type
//!
//! git, ssh, a credential helper or another program below the go command reads from a terminal: it wants a password, a user name, or
//! "yes" to a server's key. Its question may have gone unseen, because go hides what its children print. go switches git's own
//! questions off (GIT_TERMINAL_PROMPT=0) where that is not set, but since 1.25.5 not those of ssh.
//!
//! **Seen by** a thread in read(2) on a terminal. Whether the terminal shows what is typed tells a question from a secret.
//!
//! **Limit** none: somebody has to type.
//!
//! **What to do** Type the answer, or end the command and arrange for none to be needed: a key in an agent, the host in
//! `known_hosts`, a token in `~/.netrc`. In CI let it fail instead: `GIT_SSH_COMMAND='ssh -o BatchMode=yes'`,
//! `GIT_TERMINAL_PROMPT=0`.

use super::draft::Draft;
use super::scene::Scene;
use super::sits;
use super::target::host_in_words;
use crate::event::{ProcessRole, ProcessState};
use crate::report::{Finding, Peer};
use crate::text;
use crate::units::Pid;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    scene.living().filter(|p| asks_for_go(scene, p)).filter_map(|p| asking(scene, p)).collect()
}

/// Of git, ssh and their helpers nobody else is asked; other programs count where a go command waits for them.
fn asks_for_go(scene: &Scene<'_>, process: &ProcessState) -> bool {
    match process.role {
        ProcessRole::Git | ProcessRole::Ssh | ProcessRole::Helper => true,
        ProcessRole::Go => false,
        ProcessRole::Other => scene.go_above(process.pid).is_some(),
    }
}

fn asking(scene: &Scene<'_>, process: &ProcessState) -> Option<Finding> {
    if matches!(process.state, 'T' | 't') {
        return None;
    }
    let (sits, terminal) = sits::reads_terminal(process)?;
    let pid = process.pid;
    let since = scene.still_since(pid);
    if scene.is_young(pid, since) {
        return None;
    }
    // People know git, and not its parts (git-remote-https).
    let name = match process.role {
        ProcessRole::Git => "git".to_owned(),
        _ => scene.name(pid),
    };
    let host = host_in_words(&scene.session.argv(pid));
    let about = host.as_ref().map(|h| format!(" about {h}")).unwrap_or_default();
    let summary = format!("{name} is waiting for you to type an answer{about}.");
    let echo = scene.shows_what_is_typed(&terminal);
    let made = Draft::new(scene, "prompt", pid, since, summary)
        .blocked(Some(sits.tid), sits.call, sits.fd())
        .path(&format!("/dev/{terminal}"))
        .link(
            format!("someone to type at terminal {terminal}"),
            format!("{pid} sits in read on it"),
        );
    let made = with_module(scene, made, pid);
    let reads = format!("{name} has been reading terminal {terminal} for {}", scene.ago(since));
    let made = match echo {
        Some(true) => made.seen(format!("{reads};"), scene.now, "snapshot").seen(
            "what is typed is shown: a question, no password",
            scene.now,
            "snapshot",
        ),
        Some(false) => made.seen(format!("{reads};"), scene.now, "snapshot").seen(
            "what is typed is not shown: a password or the like",
            scene.now,
            "snapshot",
        ),
        None => made.seen(reads, scene.now, "snapshot"),
    };
    let made = made.fact("likely", [question(process.role, echo, &name)]);
    let made = made.fact("in CI", in_ci(process.role).iter().copied());
    let made = match host {
        Some(host) => {
            made.peer(Peer { host: Some(host), protocol: "tcp".to_owned(), ..Peer::default() })
        }
        None => made,
    };
    Some(made.done())
}

/// The modules that the go command above works on.
fn with_module<'a, 's>(scene: &Scene<'a>, made: Draft<'a, 's>, pid: Pid) -> Draft<'a, 's> {
    let modules = scene.go_above(pid).map(|go| scene.modules(go)).unwrap_or_default();
    if modules.is_empty() {
        return made;
    }
    let named: Vec<String> = modules.iter().take(3).map(|m| text::module(m)).collect();
    made.fact("module", [text::list(&named)]).concerns(modules)
}

/// What is asked, by who asks and whether the answer is shown.
fn question(role: ProcessRole, echo: Option<bool>, name: &str) -> String {
    match (role, echo) {
        (ProcessRole::Ssh, Some(true)) => {
            "\"trust this host?\"  Check the fingerprint, then type yes".to_owned()
        }
        (ProcessRole::Ssh, Some(false)) => "a password, or the passphrase of your key".to_owned(),
        (ProcessRole::Ssh, None) => {
            "\"trust this host?\", or the passphrase of your key".to_owned()
        }
        (ProcessRole::Git, Some(true)) => "your user name at that server".to_owned(),
        (ProcessRole::Git, Some(false)) => "a password or a token".to_owned(),
        (ProcessRole::Git, None) => "your user name or password at that server".to_owned(),
        (ProcessRole::Helper, _) => "a user name, a password or a token".to_owned(),
        _ => format!("what {name} wants, stands on that terminal"),
    }
}

/// How not to be asked where nobody sits.
fn in_ci(role: ProcessRole) -> &'static [&'static str] {
    match role {
        ProcessRole::Ssh => &[
            "add the host to known_hosts, and fail instead of waiting:",
            "export GIT_SSH_COMMAND='ssh -o BatchMode=yes'",
        ],
        ProcessRole::Git | ProcessRole::Helper => &[
            "put a token into ~/.netrc, and fail instead of waiting:",
            "export GIT_TERMINAL_PROMPT=0",
        ],
        _ => &["give it no terminal (setsid, </dev/null), and it fails instead"],
    }
}
