//! # helper-silent: a helper was asked and has not answered
//!
//! go or git asked a program for something, and waits for its answer: a credential helper of git or of docker for a password, a GOAUTH
//! command for a header, a GOCACHEPROG for a piece of the build cache, a GIT_ASKPASS program for what a person would type.
//!
//! **Seen by** the settings that name the program, or git's way of calling it; it lives, and whoever asked reads its output.
//!
//! **Limit** none: neither go nor git sets a time limit on its helpers.
//!
//! **What to do** Call the helper by hand. Do without it: `GOAUTH=off`, `GOCACHEPROG=`, `git -c credential.helper=`.

use super::draft::Draft;
use super::far;
use super::scene::Scene;
use super::sits;
use crate::event::{Goroutine, ProcessRole, ProcessState};
use crate::report::{Confidence, Finding, Role};
use crate::units::Pid;

/// Programs that only begin another one.
const SHELLS: [&str; 5] = ["sh", "dash", "bash", "ash", "busybox"];

/// The kernel keeps so many bytes of a program's name (TASK_COMM_LEN).
const COMM: usize = 15;

/// What a helper is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// git asks it for a name and a password.
    Credential,
    /// git asks it for either, in words that are meant for a person.
    AskPass,
    /// GOAUTH.
    Auth,
    /// GOCACHEPROG.
    Cache,
}

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    let asked = scene.living().filter_map(|p| kind(scene, p).map(|kind| (p, kind)));
    asked.filter_map(|(process, kind)| silent(scene, process, kind)).collect()
}

/// The kind of helper that `process` is; none for what it has started itself.
fn kind(scene: &Scene<'_>, process: &ProcessState) -> Option<Kind> {
    if is_shell(process) && !scene.session.children(process.pid).is_empty() {
        return None;
    }
    let asker = scene.session.state_of(asker(scene, process)?)?;
    match asker.role {
        ProcessRole::Go => named_in_settings(scene, process, asker.pid),
        ProcessRole::Git if is_of_git(scene, process, asker) => Some(of_git(process, asker)),
        _ => None,
    }
}

/// Who started `process`, shells between them left out.
fn asker(scene: &Scene<'_>, process: &ProcessState) -> Option<Pid> {
    let mut at = process.ppid;
    for _ in 0..4 {
        match scene.session.state_of(at) {
            Some(above) if is_shell(above) => at = above.ppid,
            _ => break,
        }
    }
    Some(at)
}

/// A script has the name of its file there, and not that of its shell.
fn is_shell(process: &ProcessState) -> bool {
    SHELLS.contains(&process.comm.as_str())
}

fn named_in_settings(scene: &Scene<'_>, process: &ProcessState, go: Pid) -> Option<Kind> {
    let env = &scene.session.settings_for(go)?.env;
    let words = |name: &str| env.get(name).map(|s| s.value.clone()).unwrap_or_default();
    let runs = |command: &str| {
        let program = command.split_whitespace().next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or(program);
        !program.is_empty() && names(process).iter().any(|name| is_short_for(name, program))
    };
    // git is asked for credentials in its own way (`go help goauth`).
    let is_auth = |entry: &str| !entry.trim().starts_with("git") && runs(entry);
    if words("GOAUTH").split(';').any(is_auth) {
        return Some(Kind::Auth);
    }
    runs(&words("GOCACHEPROG")).then_some(Kind::Cache)
}

/// What a process may be called.
fn names(process: &ProcessState) -> Vec<String> {
    let paths = process.exe.iter().chain(process.argv.first());
    let files = paths.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned());
    files.chain([process.comm.clone()]).collect()
}

fn is_short_for(name: &str, program: &str) -> bool {
    name == program || name.len() == COMM && program.starts_with(name)
}

/// git-remote-https starts nothing but git and credential helpers; `git credential-x` and `git credential fill` are on the way to one.
fn is_of_git(scene: &Scene<'_>, process: &ProcessState, asker: &ProcessState) -> bool {
    let does = |p: &ProcessState| p.argv.get(1).cloned().unwrap_or_default();
    match process.role {
        ProcessRole::Git => {
            does(process).starts_with("credential")
                && scene.session.children(process.pid).is_empty()
        }
        ProcessRole::Ssh => false,
        _ => asker.comm.starts_with("git-remote-http") || does(asker).starts_with("credential"),
    }
}

/// A credential helper is told what to do (gitcredentials(7)); what asks a person is given the question (GIT_ASKPASS in git(1)), which is
/// not kept, and git starts it without a shell. What a helper of one line runs (`!f() { ...; }; f`) has a shell above it.
fn of_git(process: &ProcessState, asker: &ProcessState) -> Kind {
    let is_alone = process.argv.len() < 2 && process.ppid == asker.pid;
    match process.role {
        ProcessRole::Git => Kind::Credential,
        _ if is_alone => Kind::AskPass,
        _ => Kind::Credential,
    }
}

fn silent(scene: &Scene<'_>, process: &ProcessState, kind: Kind) -> Option<Finding> {
    let pid = process.pid;
    let asker = scene.session.state_of(asker(scene, process)?)?;
    let since = scene.still_since(pid);
    let (asks, sure) = asks(scene, process, asker, kind)?;
    if matches!(process.state, 'T' | 't') || scene.is_young(pid, since) {
        return None;
    }
    let (what, setting) = match kind {
        Kind::Credential => ("a login", "credential.helper of git"),
        Kind::AskPass => ("a login", "GIT_ASKPASS, core.askPass or SSH_ASKPASS"),
        Kind::Auth => ("credentials", "GOAUTH"),
        Kind::Cache => ("the build cache", "GOCACHEPROG"),
    };
    let name = name(process);
    let summary = format!("{name} was asked for {what} {} ago and is silent.", scene.ago(since));
    let sits = sits::of(process);
    let made = Draft::new(scene, "helper-silent", pid, since, summary)
        .confidence(sure)
        .role(Role::Helper)
        .blocked(sits.map(|s| s.tid), sits.map_or("", |s| s.call), sits.and_then(|s| s.fd()))
        .fact("helper", [format!("{name} (pid {pid}), set by {setting}")])
        .seen(asks, scene.now, "snapshot");
    let made = match sits {
        Some(sits) => {
            made.seen(format!("{pid} {}", sits.words(scene, process)), scene.now, "snapshot")
        }
        None => made,
    };
    let top = scene.go_above(pid).unwrap_or(asker.pid);
    let url = asker.argv.iter().find(|word| word.contains("://"));
    let url = url.map(|url| super::paste::word(url));
    let without = match kind {
        Kind::Credential => url.map(|url| format!("git -c credential.helper= ls-remote {url}")),
        Kind::AskPass => url.map(|url| {
            format!("env -u GIT_ASKPASS -u SSH_ASKPASS git -c core.askPass= ls-remote {url}")
        }),
        Kind::Auth => Some(format!("GOAUTH=off {}", scene.paste(top))),
        Kind::Cache => Some(format!("GOCACHEPROG= {}", scene.paste(top))),
    };
    let made = made
        .limit("none: a helper is waited for without end")
        .or_else("it asks somebody in a window of its own");
    Some(match without {
        Some(command) => made.remedy("do without it:", Some(command)).done(),
        None => made.remedy("see what it waits for:", Some(format!("gmtrace -p {pid}"))).done(),
    })
}

/// `git credential-store` does one thing, git all sorts.
fn name(process: &ProcessState) -> String {
    if process.role == ProcessRole::Git {
        let does = process.argv.get(1).filter(|word| word.starts_with("credential"));
        return does.map_or_else(|| process.comm.clone(), |word| format!("git {word}"));
    }
    let exe = process.exe.as_deref().map(|exe| exe.rsplit('/').next().unwrap_or(exe));
    match exe {
        // The kernel cut what it calls the process; of a script the file is that of its shell.
        Some(exe) if exe.starts_with(&process.comm) => exe.to_owned(),
        _ => process.comm.clone(),
    }
}

/// Who waits for the helper, and how sure that is; nothing where it may be waiting for work.
fn asks(
    scene: &Scene<'_>,
    process: &ProcessState,
    asker: &ProcessState,
    kind: Kind,
) -> Option<(String, Confidence)> {
    let waits = |part: &str| {
        let goroutines = asker.go.iter().flat_map(|go| &go.goroutines);
        let is_in = |g: &&Goroutine| g.functions.iter().any(|f| f.contains(part));
        goroutines.filter(is_in).map(|g| g.id).next()
    };
    let goroutine = match kind {
        Kind::Credential | Kind::AskPass => None,
        Kind::Auth => waits("auth.runAuthCommand").or_else(|| waits("auth.runGoAuth")),
        Kind::Cache => waits("cache.(*ProgCache).send").or_else(|| waits("cache.startCacheProg")),
    };
    if let Some(goroutine) = goroutine {
        let text = format!("goroutine {goroutine} of {} waits for its answer", asker.pid);
        return Some((text, Confidence::Certain));
    }
    let read = sits::of(asker).and_then(|s| s.on).is_some_and(|on| {
        far::of(scene, asker, on)
            .iter()
            .any(|far| far.pid == process.pid || scene.is_child_now(far.pid, process.pid))
    });
    // A cache that reads its input waits for work.
    let idle = kind == Kind::Cache
        && sits::of(process).is_some_and(|s| s.fd().is_some_and(|fd| fd.0 == 0));
    match (read, idle) {
        (true, _) => Some((format!("{} reads its output", asker.pid), Confidence::Certain)),
        (false, true) => None,
        (false, false) => Some((format!("{} started it", asker.pid), Confidence::Likely)),
    }
}
