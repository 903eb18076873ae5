//! The filesystems that the command works on. Nobody waits for them longer than half a second, for all together.

use super::file;
use super::mounts::{self, Mount};
use crate::bounded::{Begun, begin_bounded, run_bounded};
use gmtrace_core::event::Filesystem;
use gmtrace_core::units::Pid;
use nix::errno::Errno;
use nix::sys::statvfs::{Statvfs, statvfs};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A filesystem that lives answers in microseconds, a network's in milliseconds.
const BOUND: Duration = Duration::from_millis(500);

/// What the paths of `wanted` (purpose, path) lie on, as process `pid` sees them.
pub(super) fn filesystems(
    pid: Pid,
    wanted: &[(String, String)],
    unseen: &mut Vec<String>,
) -> Vec<Filesystem> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let mounts = mounts::of_process(pid)
        .or_else(|_gone| mounts::of_process(Pid(std::process::id().cast_signed())))
        .unwrap_or_else(|error| {
            unseen.push(format!("mounts of process {pid}: {error}"));
            Vec::new()
        });
    let prefix = prefix(pid);
    let begun: Vec<_> =
        wanted.iter().map(|(_, path)| begin(&format!("{prefix}{path}"), &prefix)).collect();
    let wanted = wanted.iter().zip(begun);
    wanted
        .map(|((purpose, path), begun)| {
            filesystem(purpose, path, begun.and_then(Begun::end), &mounts)
        })
        .collect()
}

/// Those of `paths` that are there, as process `pid` sees them. Without an answer in time, none.
pub(super) fn present(pid: Pid, paths: &[String]) -> Vec<String> {
    if paths.is_empty() {
        return Vec::new();
    }
    let (prefix, mut paths) = (prefix(pid), paths.to_vec());
    let is_there = move |path: &String| fs::symlink_metadata(format!("{prefix}{path}")).is_ok();
    run_bounded(BOUND, move || {
        paths.retain(is_there);
        paths
    })
    .unwrap_or_default()
}

/// `/proc/PID/root` where the process has another root or mount namespace than gmtrace.
fn prefix(pid: Pid) -> String {
    if is_our_view(pid) { String::new() } else { format!("/proc/{pid}/root") }
}

/// Whether a path means the same to the process as to gmtrace: both have one root and one mount namespace.
pub(super) fn is_our_view(pid: Pid) -> bool {
    let same = |name: &str| {
        let theirs = file::link(format!("/proc/{pid}/{name}"));
        theirs.map_or(true, |theirs| {
            file::link(format!("/proc/self/{name}")).is_ok_and(|own| own == theirs)
        })
    };
    same("root") && same("ns/mnt")
}

/// What is said of `path`; `answer` is none where it did not come in time.
fn filesystem(
    purpose: &str,
    path: &str,
    answer: Option<Option<Answer>>,
    mounts: &[Mount],
) -> Filesystem {
    // Links are followed where the filesystem answers; where it does not, the path is taken as it is written.
    let real =
        answer.as_ref().and_then(|answer| answer.as_ref()).map(|answer| answer.path.as_str());
    let mount = mounts::containing(mounts, real.unwrap_or(path));
    let free = answer.as_ref().and_then(|answer| answer.as_ref()).map(|answer| &answer.free);
    Filesystem {
        purpose: purpose.to_owned(),
        path: path.to_owned(),
        mount: mount.map(|mount| mount.point.clone()),
        kind: mount.map(|mount| mount.kind.clone()),
        answered: answer.is_some(),
        free_bytes: free.map(|free| free.blocks_available().saturating_mul(free.fragment_size())),
        // Filesystems without inodes (btrfs) say 0 of 0.
        free_files: free.filter(|free| free.files() > 0).map(Statvfs::files_available),
    }
}

struct Answer {
    free: Statvfs,
    /// With links followed, without the prefix.
    path: String,
}

/// Paths for which a thread still waits.
static OUT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Begins to ask. Nobody is asked a second time before the first answer: each would cost one of the few
/// threads that may be stuck.
fn begin(asked: &str, root: &str) -> Option<Begun<Option<Answer>>> {
    let out = || OUT.lock().unwrap_or_else(PoisonError::into_inner);
    if !out().insert(asked.to_owned()) {
        return None;
    }
    let (asked, root) = (asked.to_owned(), root.to_owned());
    begin_bounded(BOUND, move || {
        let answer = ask(Path::new(&asked), &root);
        out().remove(&asked);
        answer
    })
}

/// Asks for `path`, or for the nearest directory above it that exists: a module cache that go has yet to make.
fn ask(path: &Path, root: &str) -> Option<Answer> {
    for path in path.ancestors() {
        match statvfs(path) {
            Ok(free) => return Some(Answer { free, path: real(path, root) }),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(_refused) => return None,
        }
    }
    None
}

fn real(path: &Path, root: &str) -> String {
    let real = fs::canonicalize(path).unwrap_or_else(|_gone| PathBuf::from(path));
    let real = real.to_string_lossy();
    real.strip_prefix(root).unwrap_or(&real).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_yet_to_be_made_lies_where_its_parent_lies() {
        let own = Pid(std::process::id().cast_signed());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("not/there/yet");
        let wanted = [("module cache".to_owned(), path.to_string_lossy().into_owned())];
        let mut unseen = Vec::new();
        let found = filesystems(own, &wanted, &mut unseen);
        let [found] = &found[..] else { panic!("{found:?}") };
        assert!(found.answered && found.free_bytes.is_some(), "{found:?}");
        let mount = found.mount.as_deref().unwrap();
        assert!(path.starts_with(mount), "{found:?}");
        assert!(found.kind.is_some());
        assert_eq!(unseen, Vec::<String>::new());
    }
}
