//! What program a process runs. Read from `/proc` links and the process's own memory: opening or asking about its files could
//! hang on a dead mount.

use super::memory;
use gmtrace_core::event::{Exec, ProcessRole};
use gmtrace_core::redact;
use gmtrace_core::units::Pid;
use std::fs::{self, File};
use std::io::Read;

/// Bytes of a command line that are looked at.
const COMMAND_LINE: u64 = 64 * 1024;
/// Bytes of an environment that are looked through for one name.
const ENVIRONMENT: u64 = 256 * 1024;
/// Bytes of an ELF note segment that are looked at.
const NOTES: usize = 1024;

/// Describes the program that a process has just become.
pub(crate) fn describe(pid: Pid) -> Exec {
    let exe = link(pid, "exe");
    let argv = words(pid, "cmdline", COMMAND_LINE);
    let role = role(&exe, || is_go(pid.0));
    let telemetry = role == ProcessRole::Go && is_telemetry(pid, &argv);
    let argv = redact::argv_for(&exe, &argv);
    Exec { exe, argv, cwd: link(pid, "cwd"), role, telemetry }
}

/// Describes a program that is no longer there, by what execve(2) was given.
pub(crate) fn from_words(path: &str, argv: &[String]) -> Exec {
    // Nothing of it can be read any more; what is called go is taken for it.
    let role = role(path, || true);
    let telemetry = argv.get(1).is_some_and(|word| word == "** telemetry **");
    let argv = redact::argv_for(path, argv);
    Exec { exe: path.to_owned(), argv, cwd: String::new(), role, telemetry }
}

fn link(pid: Pid, name: &str) -> String {
    let target = fs::read_link(format!("/proc/{pid}/{name}"));
    target.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The NUL-terminated words of a file of `/proc/PID`, as far as `limit` bytes go.
fn words(pid: Pid, name: &str, limit: u64) -> Vec<String> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/{name}")) {
        _ = file.take(limit).read_to_end(&mut bytes);
    }
    let mut words: Vec<String> = bytes
        .split(|&byte| byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    words.pop(); // After the last NUL comes nothing.
    words
}

/// What kind of program this is, by its name; `go` only where it is one.
fn role(exe: &str, is_go: impl Fn() -> bool) -> ProcessRole {
    let name = exe.rsplit('/').next().unwrap_or_default();
    match name.strip_suffix(" (deleted)").unwrap_or(name) {
        "go" if is_go() => ProcessRole::Go,
        _ if name.starts_with("go1.") && is_go() => ProcessRole::Go,
        _ if name.starts_with("git-credential") => ProcessRole::Helper,
        "git" => ProcessRole::Git,
        _ if name.starts_with("git-") => ProcessRole::Git,
        "ssh" => ProcessRole::Ssh,
        _ => ProcessRole::Other,
    }
}

/// Whether this is Go's telemetry child, which nobody waits for: golang.org/x/telemetry/start.go starts the program again with
/// this word, "for ps(1)", and this variable.
fn is_telemetry(pid: Pid, argv: &[String]) -> bool {
    argv.get(1).is_some_and(|word| word == "** telemetry **")
        || words(pid, "environ", ENVIRONMENT)
            .iter()
            .any(|variable| variable.starts_with("GO_TELEMETRY_CHILD="))
}

/// Whether a process is a Go program: the linker gives each an ELF note of the name `Go` with the build id
/// (cmd/link/internal/ld/elf.go, `ELF_NOTE_GOBUILDID_TAG`), and the notes are in memory.
pub(crate) fn is_go(tid: i32) -> bool {
    let Some(headers) = ProgramHeaders::of(tid) else { return false };
    headers.notes(tid).any(|notes| has_go_note(&notes))
}

/// The program headers of a process's executable, and how far it was moved from where it was linked.
struct ProgramHeaders {
    bytes: Vec<u8>,
    moved: u64,
}

/// elf.h: the size of an Elf64_Phdr, and the types looked for.
const HEADER: usize = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PT_PHDR: u32 = 6;

impl ProgramHeaders {
    /// Where they are, the kernel told the process in its auxiliary vector (getauxval(3), AT_PHDR, AT_PHNUM).
    fn of(tid: i32) -> Option<ProgramHeaders> {
        let vector = fs::read(format!("/proc/{tid}/auxv")).ok()?;
        let value = |key| {
            let pairs = vector.chunks_exact(16);
            pairs
                .filter_map(|pair| Some((word(pair, 0)?, word(pair, 8)?)))
                .find(|pair| pair.0 == key)
        };
        let (_, address) = value(libc::AT_PHDR)?;
        let (_, count) = value(libc::AT_PHNUM)?;
        let bytes = memory::read(tid, address, HEADER * usize::try_from(count.min(64)).ok()?);
        let linked = linked_address(&bytes)?;
        Some(ProgramHeaders { bytes, moved: address.wrapping_sub(linked) })
    }

    fn notes(&self, tid: i32) -> impl Iterator<Item = Vec<u8>> {
        of_type(&self.bytes, PT_NOTE).filter_map(move |header| {
            let address = word(header, 16)?.wrapping_add(self.moved);
            let size = usize::try_from(word(header, 40)?).unwrap_or(NOTES).min(NOTES);
            Some(memory::read(tid, address, size))
        })
    }
}

fn of_type(headers: &[u8], kind: u32) -> impl Iterator<Item = &[u8]> {
    headers.chunks_exact(HEADER).filter(move |header| half(header, 0) == Some(kind))
}

/// Where the linker put the headers: PT_PHDR says so; without it, they follow the ELF header (64 bytes) at the start of the
/// first loaded segment.
fn linked_address(headers: &[u8]) -> Option<u64> {
    let own = of_type(headers, PT_PHDR).next().and_then(|header| word(header, 16));
    own.or_else(|| Some(word(of_type(headers, PT_LOAD).next()?, 16)?.wrapping_add(64)))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Looks through notes: sizes of name and description, type 4, name `Go\0\0`, each padded to four bytes (elf(5), "Notes").
fn has_go_note(mut notes: &[u8]) -> bool {
    while let (Some(name), Some(description), Some(kind)) =
        (half(notes, 0), half(notes, 4), half(notes, 8))
    {
        if kind == 4 && notes.get(12..16) == Some(b"Go\0\0") {
            return true;
        }
        let padded = |size: u32| (size as usize).saturating_add(3) & !3;
        let length = padded(name).saturating_add(padded(description)).saturating_add(12);
        let Some(rest) = notes.get(length..) else { return false };
        notes = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_what_its_name_says_and_go_only_if_it_is() {
        assert_eq!(role("/usr/local/go/bin/go", || true), ProcessRole::Go);
        assert_eq!(role("/usr/bin/go", || false), ProcessRole::Other);
        assert_eq!(role("/usr/lib/git-core/git-remote-https", || false), ProcessRole::Git);
        assert_eq!(role("/usr/lib/git-core/git-credential-store", || false), ProcessRole::Helper);
        assert_eq!(role("/usr/bin/ssh (deleted)", || false), ProcessRole::Ssh);
        assert_eq!(role("", || false), ProcessRole::Other);
    }

    #[test]
    fn the_note_is_found_behind_another() {
        let mut notes = Vec::new();
        for (name, kind, text) in
            [(*b"GNU\0", 3u32, *b"abcde\0\0\0"), (*b"Go\0\0", 4, *b"buildid\0")]
        {
            notes.extend([4u32, 8, kind].iter().flat_map(|n| n.to_ne_bytes()));
            notes.extend(name);
            notes.extend(text);
        }
        assert!(has_go_note(&notes));
        assert!(!has_go_note(notes.get(..24).unwrap()));
        assert!(!has_go_note(&[0xff; 64]), "sizes beyond the end");
    }

    #[test]
    fn this_test_is_no_go_program() {
        let me = std::process::id() as i32;
        assert!(ProgramHeaders::of(me).is_some());
        assert!(!is_go(me));
    }
}
