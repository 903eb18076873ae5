//! # fs-blocked: a filesystem does not answer
//!
//! A thread sits in a call on a filesystem that does not come back: a network disk whose server is gone (NFS, SMB), a FUSE program that
//! hangs. Such a thread often cannot even be killed.
//!
//! **Seen by** statfs(2) on a directory that the command works on, which did not answer in time, and the command's own threads
//! in calls that name files.
//!
//! **Limit** none from go. NFS mounted `soft` gives up after its `timeo`; `hard`, the default, never does.
//!
//! **What to do** Bring the server or the FUSE program back, or unmount it lazily (`umount -l`), or abort the FUSE connection. Put the module
//! cache on a local disk (GOMODCACHE).

use super::draft::Draft;
use super::place::mount_line;
use super::scene::Scene;
use crate::event::{Filesystem, ProcessState, ThreadState};
use crate::report::{Confidence, Finding};

/// Calls that may sleep in a filesystem.
const CALLS: &[&str] = &[
    "access",
    "chdir",
    "chmod",
    "chown",
    "close",
    "faccessat",
    "faccessat2",
    "fchmod",
    "fchmodat",
    "fdatasync",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "getdents64",
    "link",
    "linkat",
    "lstat",
    "mkdir",
    "mkdirat",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pread64",
    "pwrite64",
    "read",
    "readlink",
    "readlinkat",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "stat",
    "statfs",
    "statx",
    "symlinkat",
    "truncate",
    "unlink",
    "unlinkat",
    "utimensat",
    "write",
];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let Some((_, snapshot)) = scene.session.snapshot.as_ref().filter(|_| scene.is_stall()) else {
        return Vec::new();
    };
    let Some(silent) = snapshot.filesystems.iter().find(|f| !f.answered) else { return Vec::new() };
    scene.living().filter(|p| p.in_tree).filter_map(|p| blocked(scene, silent, p)).collect()
}

fn blocked(scene: &Scene<'_>, silent: &Filesystem, process: &ProcessState) -> Option<Finding> {
    let thread = process.threads.iter().find(|t| sleeps_in_filesystem(t))?;
    let call = thread.syscall.as_ref().map_or("a system call", |call| call.name.as_str());
    let since = scene.session.movement.last_moved(process.pid);
    let place = mount_line(silent);
    let summary = format!("the filesystem of the {} does not answer.", silent.purpose);
    let made = Draft::new(scene, "fs-blocked", process.pid, since, summary)
        .confidence(Confidence::Likely)
        .blocked(Some(thread.tid), call, None)
        .path(&silent.path)
        .fact(label(&silent.purpose), [silent.path.clone()])
        .fact("mount", [place])
        .seen(
            format!("statfs gave no answer; {} sits in {call}", scene.words(process.pid)),
            scene.now,
            "snapshot",
        )
        .limit("none: such a wait cannot even be interrupted")
        .remedy("bring its server or FUSE program back, or use a local disk", None);
    let made = match silent.mount.as_deref().filter(|mount| *mount != "/") {
        Some(mount) => made.remedy("or give it up:", Some(format!("umount -l {mount}"))),
        None => made,
    };
    Some(made.done())
}

/// A label has nine letters at most.
fn label(purpose: &str) -> &'static str {
    if purpose.ends_with("cache") { "cache" } else { "directory" }
}

/// State D, or the kernel function that waits for an answer of FUSE or NFS: FUSE sleeps so that signals reach it at first.
fn sleeps_in_filesystem(thread: &ThreadState) -> bool {
    let calls = thread.syscall.as_ref().is_some_and(|call| CALLS.contains(&call.name.as_str()));
    let waits = thread.wchan.as_deref().is_some_and(|wchan| {
        ["request_wait_answer", "fuse_", "nfs", "rpc_", "cifs", "p9_"]
            .iter()
            .any(|known| wchan.starts_with(known))
    });
    calls && (thread.state == 'D' || waits)
}
