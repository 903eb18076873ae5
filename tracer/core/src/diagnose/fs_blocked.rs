//! # fs-blocked: a filesystem does not answer
//!
//! A thread sits in a call on a filesystem that does not come back: a network disk whose server is gone (NFS, SMB), a FUSE program that
//! hangs. Such a thread often cannot even be killed.
//!
//! **Seen by** statfs(2) on a directory that the command works on, which did not answer in time, and the command's own threads
//! in calls that name files; or the kernel's function in which such a thread waits for a server.
//!
//! **Limit** none from go. NFS mounted `soft` gives up after its `timeo`; `hard`, the default, never does.
//!
//! **What to do** Bring the server or the FUSE program back, or unmount it lazily (`umount -l`), or abort the FUSE connection. Put the module
//! cache on a local disk (GOMODCACHE).

use super::draft::Draft;
use super::place::mount_line;
use super::scene::Scene;
use crate::event::{DescriptorTarget, Filesystem, ProcessState, ThreadState};
use crate::report::{Confidence, Finding};
use crate::units::Fd;

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
    let tree = scene.living().filter(|p| p.in_tree);
    match snapshot.filesystems.iter().find(|f| !f.answered) {
        Some(silent) => tree.filter_map(|p| blocked(scene, silent, p)).collect(),
        None => tree.filter_map(|p| in_the_kernel(scene, p)).collect(),
    }
}

/// Without a filesystem that was asked and is silent (one file of it may be), the kernel's own function says that an answer of FUSE or of
/// a network disk is waited for, and the call for which file.
fn in_the_kernel(scene: &Scene<'_>, process: &ProcessState) -> Option<Finding> {
    let thread = process.threads.iter().find(|t| sleeps_in_filesystem(t) && waits_for_server(t))?;
    let call = thread.syscall.as_ref()?;
    let [first, ..] = call.args;
    let fd = Fd(i32::try_from(first & 0xffff_ffff).ok()?);
    let path = process.descriptors.iter().find_map(|d| match &d.target {
        DescriptorTarget::File(path) if d.fd == fd => Some(path.as_str()),
        _ => None,
    });
    let (pid, name) = (process.pid, &call.name);
    let since = scene.still_since(pid);
    if scene.is_young(pid, since) {
        return None;
    }
    let summary = match path {
        Some(path) => format!("the filesystem of {path} does not answer."),
        None => format!("a filesystem does not answer {} in {name}.", scene.words(pid)),
    };
    let kernel = thread.wchan.as_deref().unwrap_or_default();
    let made = Draft::new(scene, "fs-blocked", pid, since, summary)
        .confidence(Confidence::Likely)
        .blocked(Some(thread.tid), name, path.map(|_| fd))
        .seen(format!("{pid} sits in {name} (kernel: {kernel})"), scene.now, "snapshot")
        .limit("none: such a wait cannot even be interrupted")
        .remedy("bring its server or FUSE program back, or use a local disk", None);
    Some(match path {
        Some(path) => made.path(path).done(),
        None => made.done(),
    })
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
    calls && (thread.state == 'D' || waits_for_server(thread))
}

fn waits_for_server(thread: &ThreadState) -> bool {
    thread.wchan.as_deref().is_some_and(|wchan| {
        ["request_wait_answer", "fuse_", "nfs", "rpc_", "cifs", "p9_"]
            .iter()
            .any(|known| wchan.starts_with(known))
    })
}
