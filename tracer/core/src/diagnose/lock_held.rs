//! # lock-held: another process is in the way
//!
//! A lock file is held by a live process, and this one waits for it: without a message, and without end. go holds a module's lock
//! during the whole download. What matters is what the holder waits for; gmtrace looks into it as well.
//!
//! **Seen by** a thread in flock(2) or fcntl(2), and an open file of another process that holds the lock.
//!
//! **Limit** none.
//!
//! **What to do** End the holder if it is stuck, and then the command itself before you start again: else the lock and the same silent
//! server pass to the next in line. Never delete the lock file: that frees nobody, and two processes may then write the same
//! files.

use super::draft::Draft;
use super::paste::is_redacted;
use super::scene::Scene;
use crate::event::{DescriptorTarget, LockKind, ProcessState};
use crate::report::{Confidence, Finding, Holder, Remedy};
use crate::session::LockWait;
use crate::settings::CachePathKind;
use crate::text;
use crate::units::Pid;

/// How many holders are named in a message.
const NAMED_HOLDERS: usize = 3;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    waits(scene).into_iter().filter_map(|wait| held(scene, wait)).collect()
}

/// Requests that are really still waited for: the thread sleeps, and in that call, where it can be read. One that is on its way
/// into the call or out of it waits for a CPU, or for its tracer, and for no lock.
pub(super) fn waits<'a>(scene: &Scene<'a>) -> Vec<&'a LockWait> {
    let sits = |l: &LockWait| {
        let Some(process) = scene.session.state_of(l.pid) else { return true };
        let Some(thread) = process.threads.iter().find(|t| t.tid == l.tid) else {
            return process.threads.is_empty();
        };
        let calls = thread.syscall.as_ref().is_none_or(|c| matches!(&*c.name, "flock" | "fcntl"));
        thread.sleeps() && calls
    };
    let asked = scene.session.locks.iter().filter(|l| l.ended.is_none() && sits(l));
    asked.chain(&scene.session.found_locks).collect()
}

/// The live processes that hold what `wait` asks for.
pub(super) fn holders(scene: &Scene<'_>, wait: &LockWait) -> Vec<Holder> {
    let file = waited_file(scene, wait);
    let holds = |p: &&ProcessState| {
        p.descriptors.iter().any(|d| {
            let same = match (&file, &d.target) {
                (Some(file), _) => d.locks.iter().any(|l| l.file == *file),
                (None, DescriptorTarget::File(path)) => *path == wait.path && !d.locks.is_empty(),
                _ => false,
            };
            same && !(p.pid == wait.pid && d.fd == wait.fd)
        })
    };
    scene
        .living()
        .filter(holds)
        .map(|p| Holder {
            pid: p.pid,
            argv: scene.session.argv(p.pid),
            started_by: p.started_by.as_ref().map(|s| format!("{} (pid {})", s.name, s.pid)),
            since_ns: Some(p.age_ns),
            alive: true,
        })
        .collect()
}

/// The file as the kernel's lock table names it: matched by its text, never by a stat.
fn waited_file(scene: &Scene<'_>, wait: &LockWait) -> Option<String> {
    let (_, snapshot) = scene.session.snapshot.as_ref()?;
    let mut waiting = snapshot.locks.iter().filter(|l| l.waiting && l.pid == wait.pid);
    let first = waiting.next()?;
    // With several waits of one process the table does not say which is which: the path decides.
    if waiting.any(|l| l.file != first.file) {
        return None;
    }
    Some(first.file.clone())
}

fn held(scene: &Scene<'_>, wait: &LockWait) -> Option<Finding> {
    let holders = holders(scene, wait);
    let holder = holders.first()?;
    let who = if scene.is_go(holder.pid) { "another go command" } else { "another process" };
    let what = what_for(scene, wait);
    let pids = text::list(&holders.iter().map(|h| h.pid.to_string()).collect::<Vec<_>>());
    let verb = if holders.len() == 1 { "holds" } else { "hold" };
    let seen = format!("{pids} {verb}, {} queues", wait.pid);
    let waits = format!("waits {} for {what}, held by", scene.ago(wait.since));
    let made = Draft::new(scene, "lock-held", wait.pid, wait.since, format!("{who} holds {what}."))
        .first_fact("you", [scene.command(wait.pid), waits])
        .fact("holder", holders.iter().take(NAMED_HOLDERS).map(|h| words(scene, h)))
        .fact("lock", [wait.path.clone()])
        .seen(format!("kernel lock table: {seen}"), scene.now, "snapshot")
        .blocked(Some(wait.tid), syscall(wait.kind), Some(wait.fd))
        .goroutine_of(wait.tid)
        .link(
            format!("{what}, held by {}", scene.command(holder.pid)),
            format!("lock table: {seen}"),
        )
        .lock(&wait.path, kind(wait.kind), holders.clone())
        .confidence(Confidence::Certain)
        .limit("none: a lock is waited for without end");
    let made = match scene.module_of(wait.pid, &wait.path) {
        Some(module) => made.concerns(vec![module]),
        None => made,
    };
    let mut finding = made.done();
    finding.remedies =
        remedies(scene, &finding, &holders.iter().map(|h| h.pid).collect::<Vec<_>>(), None);
    Some(finding)
}

/// `go list ./... (pid 41190), started by gopls (pid 3300)`.
pub(super) fn words(scene: &Scene<'_>, holder: &Holder) -> String {
    let started = holder.started_by.as_ref().map(|s| format!(", started by {s}"));
    format!("{}{}", scene.command(holder.pid), started.unwrap_or_default())
}

/// What to do about a lock that `holders` have; `root` is what they wait for themselves.
pub(super) fn remedies(
    scene: &Scene<'_>,
    finding: &Finding,
    holders: &[Pid],
    root: Option<&Finding>,
) -> Vec<Remedy> {
    let words = scene.paste(finding.blocked.pid);
    let kill = format!("kill {}", holders.iter().map(Pid::to_string).collect::<Vec<_>>().join(" "));
    let again = root
        .and_then(|r| r.remedies.iter().find_map(|r| r.command.clone()))
        .filter(|c| c.ends_with(&words))
        .unwrap_or(words);
    let safe = |text: String, command: Option<String>| Remedy { text, command, safe: true };
    let never = "delete the lock file: frees nobody, can damage the cache".to_owned();
    let mut remedies = match root {
        Some(_) => vec![
            match scene.is_go(finding.blocked.pid) && !is_redacted(&again) {
                true => safe(format!("Ctrl-C, {kill}, then"), Some(again)),
                false => safe(format!("Ctrl-C, {kill}, then start again"), None),
            },
            safe("(kill alone passes you the lock, and the same wait)".to_owned(), None),
        ],
        None => vec![safe("let it finish; if it never does:".to_owned(), Some(kill))],
    };
    remedies.push(Remedy { text: never, command: None, safe: false });
    remedies
}

/// `the lock of example.com/lib v1.4.2`.
fn what_for(scene: &Scene<'_>, wait: &LockWait) -> String {
    if let Some(module) = scene.module_of(wait.pid, &wait.path) {
        return format!("the lock of {}", text::module(&module));
    }
    let name = wait.path.rsplit('/').next().unwrap_or(&wait.path);
    match scene.lock_file(wait.pid, &wait.path).map(|file| file.kind) {
        Some(CachePathKind::CacheLock) => "the lock of the module cache".to_owned(),
        Some(CachePathKind::VcsLock) => "the lock of a repository in the module cache".to_owned(),
        Some(CachePathKind::SumDbFile) => "a lock of the checksum database's cache".to_owned(),
        Some(CachePathKind::BuildCacheFile) => "a lock of the build cache".to_owned(),
        _ => format!("the lock of {name}"),
    }
}

pub(super) fn kind(kind: LockKind) -> &'static str {
    match kind {
        LockKind::Flock => "flock",
        LockKind::Posix => "posix",
        LockKind::Ofd => "ofd",
    }
}

pub(super) fn syscall(kind: LockKind) -> &'static str {
    match kind {
        LockKind::Flock => "flock",
        LockKind::Posix | LockKind::Ofd => "fcntl",
    }
}
