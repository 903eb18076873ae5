//! # lock-orphaned: a lock is held, and nobody can be seen who holds it
//!
//! A process waits for a lock, and no process that gmtrace may look into has it. The holder lives in another container (pid
//! namespace), belongs to another user, or on another machine that shares the files over NFS. A lock also lives on in a child that
//! inherited the open file.
//!
//! **Seen by** a thread in flock(2) or fcntl(2), and no open file with that lock among all that can be read.
//!
//! **Limit** none.
//!
//! **What to do** Look as root, and outside of the container. Deleting the lock file frees nobody: the waiter has the old file
//! open, and two processes may then write the same files.

use super::draft::Draft;
use super::lock_held::{holders, kind, syscall, waits};
use super::place::{filesystem_of, mount_line};
use super::scene::Scene;
use crate::event::{KernelLock, Snapshot};
use crate::report::{Confidence, Finding, Remedy};
use crate::session::LockWait;
use crate::text;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let Some((_, snapshot)) = scene.session.snapshot.as_ref().filter(|_| scene.is_stall()) else {
        return Vec::new();
    };
    waits(scene)
        .into_iter()
        .filter(|wait| scene.session.state_of(wait.pid).is_some())
        .filter(|wait| holders(scene, wait).is_empty() && !has_it_by_now(scene, wait))
        // That nobody is seen is no proof where the lock may have changed hands while all were read; the next reading tells.
        .filter(|wait| !scene.session.is_attached() || wait.since < scene.now)
        .map(|wait| told(scene, snapshot, wait))
        .collect()
}

/// A snapshot is not read in one instant: between a thread's system call and its descriptors the lock may have been obtained.
fn has_it_by_now(scene: &Scene<'_>, wait: &LockWait) -> bool {
    let descriptors = scene.session.state_of(wait.pid).map(|p| p.descriptors.as_slice());
    descriptors.unwrap_or_default().iter().any(|d| d.fd == wait.fd && !d.locks.is_empty())
}

fn told(scene: &Scene<'_>, snapshot: &Snapshot, wait: &LockWait) -> Finding {
    let module = scene.module_of(wait.pid, &wait.path);
    let what = match &module {
        Some(module) => format!("the lock of {}", text::module(module)),
        None => "a lock".to_owned(),
    };
    let summary = format!("somebody out of sight holds {what}.");
    let held = holding_line(snapshot, wait);
    let seen = match held {
        Some(line) => format!("kernel lock table: {} holds, {} waits", owner(line), wait.pid),
        None => {
            format!("{} sits in {}; no open file here has the lock", wait.pid, syscall(wait.kind))
        }
    };
    let reasons = reasons(scene, snapshot, wait, held);
    let mut made = Draft::new(scene, "lock-orphaned", wait.pid, wait.since, summary)
        .confidence(Confidence::Likely)
        .blocked(Some(wait.tid), syscall(wait.kind), Some(wait.fd))
        .goroutine_of(wait.tid)
        .lock(&wait.path, kind(wait.kind), Vec::new())
        .fact("lock", [wait.path.clone()])
        .seen(seen, scene.now, "snapshot")
        .fact("unseen", reasons.first().cloned())
        .limit("none: a lock is waited for without end");
    if let Some(module) = module {
        made = made.modules(vec![module]);
    }
    for other in reasons.into_iter().skip(1) {
        made = made.or_else(other);
    }
    let mut finding = made
        .remedy(
            "look as root, outside of any container:",
            Some("sudo lslocks -o PID,COMMAND,PATH".to_owned()),
        )
        .done();
    let never = "delete the lock file: frees nobody, can damage the cache";
    finding.remedies.push(Remedy { text: never.to_owned(), command: None, safe: false });
    finding
}

/// The line of the kernel's lock table that says who has what `wait` asks for.
fn holding_line<'a>(snapshot: &'a Snapshot, wait: &LockWait) -> Option<&'a KernelLock> {
    let waiting = snapshot.locks.iter().find(|l| l.waiting && l.pid == wait.pid)?;
    snapshot.locks.iter().find(|l| !l.waiting && l.id == waiting.id)
}

fn owner(line: &KernelLock) -> String {
    match line.pid.0 {
        ..=0 => "a process of another namespace".to_owned(),
        pid => format!("process {pid}"),
    }
}

/// Why the holder may be out of sight, the likeliest first.
fn reasons(
    scene: &Scene<'_>,
    snapshot: &Snapshot,
    wait: &LockWait,
    held: Option<&KernelLock>,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let filesystem = filesystem_of(scene, &wait.path);
    let shared = |kind: &str| {
        kind.starts_with("nfs")
            || kind.starts_with("fuse")
            || matches!(kind, "9p" | "cifs" | "smb3" | "virtiofs")
    };
    if let Some(f) = filesystem.filter(|f| f.kind.as_deref().is_some_and(shared)) {
        reasons.push(format!("another machine may hold it, through {}", mount_line(f)));
    }
    match held.map(|l| l.pid.0) {
        // proc_pid_locks(5): 0 stands for a process outside of the reader's pid namespace.
        Some(..=0) => reasons.push("the holder lives in another container (pid namespace)".to_owned()),
        Some(pid) if scene.session.state_of(crate::units::Pid(pid)).is_none() => reasons.push(format!(
            "process {pid} took it; it has ended and left the file to a child, or may not be looked into"
        )),
        _ => {}
    }
    reasons.extend(
        snapshot
            .unseen
            .iter()
            .filter(|u| u.contains("lock") || u.contains("descriptor"))
            .take(2)
            .cloned(),
    );
    reasons.push("the holder belongs to another user, so that its files cannot be read".to_owned());
    reasons
}
