//! Which filesystem a path lies on.

use super::scene::Scene;
use crate::event::Filesystem;

/// The filesystem of the newest snapshot with the longest mount point above `path`.
pub(super) fn filesystem_of<'a>(scene: &Scene<'a>, path: &str) -> Option<&'a Filesystem> {
    let (_, snapshot) = scene.session.snapshot.as_ref()?;
    let above = |f: &&Filesystem| f.mount.as_deref().is_some_and(|mount| lies_in(path, mount));
    snapshot
        .filesystems
        .iter()
        .filter(above)
        .max_by_key(|f| f.mount.as_ref().map_or(0, String::len))
}

/// Whether `path` is `directory` or lies below it.
pub(super) fn lies_in(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `/mnt/cache (nfs)`.
pub(super) fn mount_line(filesystem: &Filesystem) -> String {
    let mount = filesystem.mount.as_deref().unwrap_or(&filesystem.path);
    match &filesystem.kind {
        Some(kind) => format!("{mount} ({kind})"),
        None => mount.to_owned(),
    }
}

/// The path in front of `: what went wrong`: cmd/go prints `write PATH: no space left on device`.
pub(super) fn path_before<'l>(line: &'l str, error: &str) -> Option<&'l str> {
    let at = line.to_ascii_lowercase().find(error)?;
    let before = line.get(..at)?.trim_end().trim_end_matches(':');
    let start =
        before.rfind(" /").map(|n| n + 1).or_else(|| before.starts_with('/').then_some(0))?;
    before.get(start..)
}
