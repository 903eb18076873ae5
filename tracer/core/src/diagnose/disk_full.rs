//! # disk-full: there is no room to write
//!
//! A filesystem has no free bytes, no free files (inodes), or the user's quota is used up. Downloads are written beside their
//! place first, so that nothing is left half done.
//!
//! **Seen by** ENOSPC or EDQUOT in what the command said, and the free space of the filesystems it works on.
//!
//! **What to do** Make room (`go clean -cache` frees the build cache, `go clean -modcache` the module cache), or put the cache
//! elsewhere: GOMODCACHE, GOCACHE, GOTMPDIR.

use super::draft::Draft;
use super::paste;
use super::place::{filesystem_of, mount_line, path_before};
use super::scene::Scene;
use crate::event::Filesystem;
use crate::report::{Confidence, Finding, FindingState};
use crate::text;
use crate::units::{Nanos, Pid};

/// Less than this is full: a zip, even a small one, needs more.
const FULL: u64 = 1 << 20;

/// strerror(3) in lower case, of go and libc alike, and what it means.
const ERRORS: &[(&str, &str)] = &[
    ("no space left on device", "the disk is full"),
    ("disk quota exceeded", "the disk quota is used up"),
];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let said = if scene.has_failed() { complaint(scene) } else { None };
    if let Some(finding) = said {
        return vec![finding];
    }
    if !scene.is_stall() && !scene.has_failed() {
        return Vec::new();
    }
    let Some((t, snapshot)) = scene.session.snapshot.as_ref() else { return Vec::new() };
    let mut full: Vec<&Filesystem> = snapshot.filesystems.iter().filter(|f| is_full(f)).collect();
    full.dedup_by(|a, b| a.mount == b.mount);
    full.into_iter().map(|f| without_words(scene, f, *t)).collect()
}

fn is_full(filesystem: &Filesystem) -> bool {
    filesystem.free_bytes.is_some_and(|free| free < FULL) || filesystem.free_files == Some(0)
}

fn complaint(scene: &Scene<'_>) -> Option<Finding> {
    let ((t, pid, line), (error, means)) =
        scene.session.output.all().find_map(|(t, pid, line)| {
            let lower = line.to_ascii_lowercase();
            let known = ERRORS.iter().find(|(error, _)| lower.contains(error))?;
            Some(((t, pid, line), *known))
        })?;
    let path = path_before(line, error);
    let filesystem = path.and_then(|path| filesystem_of(scene, path));
    let place = filesystem.map(mount_line).or_else(|| path.map(str::to_owned));
    let summary = match &place {
        Some(place) => format!("{means}: {place}."),
        None => format!("{means}."),
    };
    let made = Draft::new(scene, "disk-full", pid, t, summary);
    let made = match path {
        Some(path) => made.path(path).fact("file", [path.to_owned()]),
        None => made,
    };
    let made = made.seen(line.to_owned(), t, "stderr");
    Some(with_advice(made, scene, pid, filesystem).done())
}

/// The command did not say so itself: a full disk is then worth a word, and no reason yet.
fn without_words(scene: &Scene<'_>, filesystem: &Filesystem, t: Nanos) -> Finding {
    let pid = scene.session.root();
    let state = if scene.is_stall() { FindingState::Notice } else { FindingState::Failed };
    let summary =
        format!("the disk of the {} is full: {}.", filesystem.purpose, mount_line(filesystem));
    let made = Draft::new(scene, "disk-full", pid, t, summary)
        .state(state)
        .confidence(Confidence::Possible)
        .path(&filesystem.path)
        .or_else("it is full, and nothing needed to be written");
    with_advice(made, scene, pid, Some(filesystem)).done()
}

fn with_advice<'a, 's>(
    made: Draft<'a, 's>,
    scene: &Scene<'_>,
    pid: Pid,
    filesystem: Option<&Filesystem>,
) -> Draft<'a, 's> {
    let made = match filesystem {
        Some(f) => {
            let t = scene.session.snapshot.as_ref().map_or(scene.now, |(t, _)| *t);
            made.seen(free(f), t, "snapshot").remedy(
                "see what takes the room:",
                Some(format!(
                    "du -xh --max-depth=2 {} | sort -h | tail",
                    paste::word(f.mount.as_deref().unwrap_or(&f.path))
                )),
            )
        }
        None => made.remedy("see which disk it is:", Some("df -h; df -i".to_owned())),
    };
    let made = made.remedy("the build cache can always go:", Some("go clean -cache".to_owned()));
    match paste::value(scene, pid, "GOMODCACHE") {
        Some(_) => made.remedy("or put the module cache elsewhere (GOMODCACHE)", None),
        None => made,
    }
}

/// `12 kB and 4 files free`.
fn free(filesystem: &Filesystem) -> String {
    let bytes = filesystem.free_bytes.map(text::bytes);
    let files = filesystem.free_files.map(|n| text::count(n, "file", "files"));
    let free: Vec<String> = bytes.into_iter().chain(files).collect();
    format!("{} free on {}", text::list(&free), mount_line(filesystem))
}
