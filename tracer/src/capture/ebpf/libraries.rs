//! Which libc each process of the tree has mapped: its look-ups are watched in the file that it is in, which in a container is
//! another one.

use super::load::Loaded;
use gmtrace_core::units::Pid;
use object::Endianness;
use object::read::elf::ElfFile64;
use object::read::{Object, ObjectSegment, ObjectSymbol};
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The programs that watch it.
pub(super) const PROGRAMS: &[&str] = &["getaddrinfo_enter", "getaddrinfo_return"];
/// Where glibc is, when nothing is known yet (the names that Debian, Fedora and others have for it).
const USUAL: &[&str] = &[
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
];
/// A program has mapped its libraries this long after execve(2).
const SETTLED: Duration = Duration::from_millis(20);
/// Bytes of `/proc/PID/maps` that are looked at.
const MAPS: u64 = 256 * 1024;
/// A file larger than this is no libc.
const LARGEST: u64 = 64 << 20;
/// So many different files are watched.
const FILES: usize = 16;

/// Device, as `/proc/PID/maps` prints it, and inode.
type Key = (String, u64);

/// The files that are watched, and the processes that are to be looked at.
#[derive(Debug, Default)]
pub struct Libraries {
    watched: HashSet<Key>,
    begun: VecDeque<(Instant, Pid)>,
}

impl Libraries {
    /// Watches the machine's own libc, before any process of the tree has mapped it.
    pub fn watch_usual(&mut self, loaded: &mut Loaded) {
        // gmtrace's own, if it has one; opening what is usual asks no filesystem that its own start did not ask.
        let own = self.libc_of(Pid(std::process::id().cast_signed()));
        if let Some((key, path)) = own {
            self.watch(loaded, key, PathBuf::from(path));
            return;
        }
        let usual = USUAL.iter().map(PathBuf::from).find(|path| path.is_file());
        if let Some(path) = usual {
            self.watch(loaded, (String::new(), 0), path);
        }
    }

    /// A process has become another program.
    pub fn began(&mut self, pid: Pid) {
        self.begun.push_back((Instant::now(), pid));
    }

    /// Looks at those that have had the time to map their libraries.
    pub fn look(&mut self, loaded: &mut Loaded) {
        while let Some((at, pid)) = self.begun.front().copied() {
            if at.elapsed() < SETTLED {
                return;
            }
            self.begun.pop_front();
            if let Some((key, path)) = self.libc_of(pid) {
                // As the process sees it: its root may be another, and opening a file there may hang with its mount, which would
                // have kept the process itself from starting.
                let path = PathBuf::from(format!("/proc/{pid}/root{path}"));
                self.watch(loaded, key, path);
            }
        }
    }

    fn watch(&mut self, loaded: &mut Loaded, key: Key, path: PathBuf) {
        let new = self.watched.len() < FILES && self.watched.insert(key);
        if let Some(Err(why)) = new.then(|| loaded.watch_libc(&path)) {
            tracing::info!("{why}");
        }
    }

    /// The libc that a process has mapped, unless it is watched already.
    fn libc_of(&self, pid: Pid) -> Option<(Key, String)> {
        let maps = File::open(format!("/proc/{pid}/maps")).ok()?;
        let lines = BufReader::new(maps.take(MAPS)).lines();
        let found = lines.map_while(Result::ok).find_map(|line| libc(&line))?;
        (!self.watched.contains(&found.0)).then_some(found)
    }
}

/// A line of `/proc/PID/maps` (proc(5)): range, permissions, offset, device, inode, path.
fn libc(line: &str) -> Option<(Key, String)> {
    let mut fields = line.split_ascii_whitespace();
    let (device, inode) = (fields.nth(3)?, fields.next()?);
    let path = fields.next().filter(|path| path.starts_with('/'))?;
    let name = path.rsplit('/').next()?;
    // glibc's, under its own name or that of its file; musl's is the loader too.
    let is_libc = name.starts_with("libc.so.6")
        || name.starts_with("libc-2.")
        || name.starts_with("ld-musl-")
        || name.starts_with("libc.musl-");
    is_libc.then(|| ((device.to_owned(), inode.parse().unwrap_or(0)), path.to_owned()))
}

/// Where in a libc's file its getaddrinfo begins.
pub(super) fn getaddrinfo(file: &Path) -> Option<u64> {
    // At once: a name at a time, of 3,000, takes ten times as long.
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
    let elf = ElfFile64::<Endianness>::parse(&*bytes).ok()?;
    let mut symbols = elf.dynamic_symbols().filter(|symbol| symbol.is_definition());
    let address = symbols.find(|symbol| symbol.name_bytes() == Ok(b"getaddrinfo"))?.address();
    elf.segments().find_map(|segment| {
        let (within, (start, length)) =
            (address.checked_sub(segment.address())?, segment.file_range());
        (within < length).then(|| start.checked_add(within))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_libc_is_told_by_its_name() {
        let line =
            "7f1c2a000000-7f1c2a026000 r--p 00000000 fe:00 131 /usr/lib/x86_64-linux-gnu/libc.so.6";
        let (key, path) = libc(line).unwrap();
        assert_eq!((key, path.as_str()), {
            (("fe:00".to_owned(), 131), "/usr/lib/x86_64-linux-gnu/libc.so.6")
        });
        assert!(libc("7f1c-7f1d r--p 00000000 fe:00 9 /lib/ld-musl-x86_64.so.1").is_some());
        assert_eq!(libc("7f1c-7f1d r--p 00000000 fe:00 9 /usr/lib/libcurl.so.4"), None);
        assert_eq!(libc("7ffd-7ffe rw-p 00000000 00:00 0 [stack]"), None);
    }
}
