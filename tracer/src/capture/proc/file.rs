//! Bounded reading of `/proc`: every byte of it is hostile text.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// No text of `/proc` that is read here is larger, but for tables of the whole machine.
pub(super) const SMALL: usize = 64 * 1024;

/// Tables of the whole machine: locks, mounts, sockets.
pub(super) const TABLE: usize = 16 * 1024 * 1024;

/// The first `limit` bytes of a file.
///
/// # Errors
/// Those of open(2) and read(2).
pub(super) fn bytes(path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(limit.min(4096));
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text; what is not UTF-8 is replaced.
pub(super) fn text(path: impl AsRef<Path>, limit: usize) -> io::Result<String> {
    bytes(path, limit).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Where a link of `/proc` points. readlink(2) never touches what it points to.
pub(super) fn link(path: impl AsRef<Path>) -> io::Result<String> {
    fs::read_link(path).map(|target| target.to_string_lossy().into_owned())
}

/// The entries of a directory whose names are numbers: processes, threads, descriptors. At most `limit`.
pub(super) fn numbers(path: impl AsRef<Path>, limit: usize) -> io::Result<Vec<i32>> {
    let entries = fs::read_dir(path)?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.take(limit).collect())
}

/// The value of `key` in `key value` lines, as in cpu.stat.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == key).then(|| value.trim().parse().ok()).flatten()
    })
}
