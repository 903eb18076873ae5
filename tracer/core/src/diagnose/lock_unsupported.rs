//! # lock-unsupported: the filesystem refuses locks
//!
//! go locks go.mod and each module it downloads. Some filesystems cannot do that: NFS without its lock service, some shared folders of
//! virtual machines, some FUSE filesystems. It fails at once then.
//!
//! **Seen by** flock(2) giving ENOLCK, ENOSYS or EOPNOTSUPP, or `Lock PATH: no locks available` in what go said.
//!
//! **What to do** NFS version 3: start the lock service on both sides, or mount with `nolock` where no other machine uses the same
//! files. Otherwise put the module cache (GOMODCACHE) or the project on a local disk.

use super::draft::Draft;
use super::lock_held::{kind, syscall};
use super::paste;
use super::place::{filesystem_of, lies_in, mount_line, path_before};
use super::scene::Scene;
use crate::event::LockKind;
use crate::report::{Confidence, Finding};
use crate::units::{Fd, Nanos, Pid, Tid};

/// Errors of flock(2) and fcntl(2) that mean "not on this filesystem", and what go prints for them.
const ERRORS: &[(&str, &str)] = &[
    ("ENOLCK", "no locks available"),
    ("ENOSYS", "function not implemented"),
    ("EOPNOTSUPP", "operation not supported"),
];

/// A lock that was refused.
struct Refused<'a> {
    t: Nanos,
    pid: Pid,
    tid: Option<Tid>,
    fd: Option<Fd>,
    path: &'a str,
    kind: LockKind,
    error: String,
}

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let line = complaint(scene);
    let refused = seen(scene).or_else(|| line.and_then(said));
    refused.map(|r| told(scene, &r, line)).into_iter().collect()
}

fn seen<'a>(scene: &Scene<'a>) -> Option<Refused<'a>> {
    scene.session.locks.iter().rev().find_map(|lock| {
        let error = lock.failed().filter(|e| ERRORS.iter().any(|(name, _)| name == e))?;
        Some(Refused {
            t: lock.ended.unwrap_or(lock.since),
            pid: lock.pid,
            tid: Some(lock.tid),
            fd: Some(lock.fd),
            path: &lock.path,
            kind: lock.kind,
            error: error.to_owned(),
        })
    })
}

/// `go: RLock go.mod: no locks available` (cmd/go/internal/lockedfile/internal/filelock, as fs.PathError).
fn complaint<'a>(scene: &Scene<'a>) -> Option<(Nanos, Pid, &'a str)> {
    scene.session.output.all().find(|(_, _, line)| {
        let of_a_lock = line.contains("Lock ") || line.contains("flock");
        of_a_lock && ERRORS.iter().any(|(_, text)| line.to_ascii_lowercase().contains(text))
    })
}

fn said<'a>((t, pid, line): (Nanos, Pid, &'a str)) -> Option<Refused<'a>> {
    let (name, text) = ERRORS.iter().find(|(_, text)| line.to_ascii_lowercase().contains(text))?;
    let bare = || line.split_once("Lock ")?.1.split(':').next();
    let path = path_before(line, text).or_else(bare)?;
    let error = (*name).to_owned();
    Some(Refused { t, pid, tid: None, fd: None, path, kind: LockKind::Flock, error })
}

fn told(scene: &Scene<'_>, refused: &Refused<'_>, line: Option<(Nanos, Pid, &str)>) -> Finding {
    let filesystem = filesystem_of(scene, refused.path);
    let place = filesystem.map_or("this filesystem".to_owned(), mount_line);
    let summary = format!("{place} cannot lock files, which go needs.");
    let call = syscall(refused.kind);
    let made = Draft::new(scene, "lock-unsupported", refused.pid, refused.t, summary)
        .fact("file", [refused.path.to_owned()])
        .blocked(refused.tid, call, refused.fd)
        .lock(refused.path, kind(refused.kind), Vec::new());
    let made = match line {
        Some((t, _, line)) => made.seen(line.to_owned(), t, "stderr"),
        None => made.confidence(Confidence::Likely),
    };
    let made = match refused.tid {
        Some(_) => made.seen(format!("{call} gave {}", refused.error), refused.t, "lock-end"),
        None => made,
    };
    let made = match refused.error.as_str() {
        "ENOSYS" => made.or_else("a sandbox forbids the system call"),
        _ => made,
    };
    let nfs = filesystem.and_then(|f| f.kind.as_deref()).is_some_and(|k| k.starts_with("nfs"));
    let made = match nfs {
        true => made
            .remedy("start the NFS lock service, or mount with nolock if nobody else writes", None),
        false => made,
    };
    match paste::value(scene, refused.pid, "GOMODCACHE") {
        Some(cache) if lies_in(refused.path, cache) => made
            .remedy(
                "put the module cache on a local disk:",
                Some(format!("GOMODCACHE=/var/tmp/gomodcache {}", scene.paste(refused.pid))),
            )
            .done(),
        _ => made.remedy("or move these files to a local disk", None).done(),
    }
}
