//! Modules that were not unpacked to their end, where go may not unpack them again.
//!
//! go notes that it unpacks a module, and removes the note at the end (modfetch.unzip). A module with a note is missing to it
//! (modfetch.DownloadDir): it is unpacked again without a word, unless go is refused a file of it, the lock first of all.

use super::place::path_before;
use crate::session::Session;
use crate::settings::partial_note;
use crate::units::{Nanos, Pid};

/// EROFS, EACCES and EPERM, as Go writes them.
const REFUSALS: &[&str] =
    &["read-only file system", "permission denied", "operation not permitted"];

/// At most so many notes are looked for.
const MAX_NOTES: usize = 32;

/// A file of a module that go was refused.
pub(super) struct Refused<'a> {
    /// When it said so.
    pub(super) t: Nanos,
    /// Who.
    pub(super) pid: Pid,
    /// What it said.
    pub(super) line: &'a str,
    /// Whether it was the lock: whoever has that is alone in unpacking the module.
    pub(super) is_lock: bool,
    /// Where the module would have its note.
    pub(super) note: String,
    /// `path@version`.
    pub(super) module: String,
}

/// What go was refused, oldest first.
pub(super) fn refused(session: &Session) -> impl Iterator<Item = Refused<'_>> {
    session.output.all().filter_map(|(t, pid, line)| {
        let path = REFUSALS.iter().find_map(|refusal| path_before(line, refusal))?;
        let cache = &session.settings_for(pid)?.env.get("GOMODCACHE")?.value;
        let (note, module) = partial_note(path, cache)?;
        let is_lock = path.ends_with(".lock");
        Some(Refused { t, pid, line, is_lock, note, module })
    })
}

/// The notes that may explain what was refused, whether they are there or not: files in the view of the command.
pub fn possible_notes(session: &Session) -> Vec<String> {
    let mut notes: Vec<String> = refused(session).map(|refused| refused.note).collect();
    notes.sort();
    notes.dedup();
    notes.truncate(MAX_NOTES);
    notes
}
