//! Which libc each process of the tree has mapped: its look-ups are watched in the file that it is in, which in a container is
//! another one.

use super::load::Loaded;
use gmtrace_core::units::Pid;
use object::Endianness;
use object::read::elf::ElfFile64;
use object::read::{Object, ObjectSegment, ObjectSymbol};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
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
/// A program that has not mapped a libc this long after execve(2) has none.
const SETTLED: Duration = Duration::from_millis(40);
/// Bytes of `/proc/PID/maps` that are looked at.
const MAPS: u64 = 256 * 1024;
/// A file larger than this is no libc.
const LARGEST: u64 = 64 << 20;
/// So many different files are watched.
const FILES: usize = 16;

/// Device, as `/proc/PID/maps` prints it, and inode.
type Key = (String, u64);
/// The device is not known: stat(2) may tell another than maps do.
const ANY: String = String::new();

/// The files that are watched, and the processes that are to be looked at.
#[derive(Debug, Default)]
pub struct Libraries {
    watched: HashSet<Key>,
    begun: Vec<(Instant, Pid)>,
}

impl Libraries {
    /// Watches the machine's own libc, before any process of the tree has mapped it.
    pub fn watch_usual(&mut self, loaded: &mut Loaded) {
        // gmtrace's own, if it has one; opening what is usual asks no filesystem that its own start did not ask.
        let own = Pid(std::process::id().cast_signed());
        if let Some(mapped) = mapped_by(own) {
            self.watch(loaded, own, mapped);
        } else if let Some(path) = USUAL.iter().map(Path::new).find(|path| path.is_file()) {
            let inode = fs::metadata(path).map_or(0, |file| file.ino());
            self.watched.insert((ANY, inode));
            attach(loaded, path);
        }
    }

    /// A process has become another program.
    pub fn began(&mut self, pid: Pid) {
        self.begun.push((Instant::now(), pid));
    }

    /// Looks at those that may have mapped their libraries by now.
    pub fn look(&mut self, loaded: &mut Loaded) {
        for (at, pid) in std::mem::take(&mut self.begun) {
            match mapped_by(pid) {
                Some(mapped) => self.watch(loaded, pid, mapped),
                None if at.elapsed() < SETTLED => self.begun.push((at, pid)),
                None => {}
            }
        }
    }

    fn watch(&mut self, loaded: &mut Loaded, pid: Pid, mapped: Mapped) {
        let is_watched = self.watched.contains(&(ANY, mapped.key.1));
        let has_room = self.watched.len() < FILES;
        if is_watched || !has_room || !self.watched.insert(mapped.key.clone()) {
            return;
        }
        match mapped.place(pid) {
            Some(path) => attach(loaded, &path),
            None => tracing::info!("{} of process {pid} cannot be opened", mapped.path),
        }
    }
}

fn attach(loaded: &mut Loaded, path: &Path) {
    match loaded.watch_libc(path) {
        Ok(()) => {
            let inode = fs::metadata(path).map_or(0, |file| file.ino());
            tracing::info!("the look-ups of {} (inode {inode}) are watched", path.display());
        }
        Err(why) => tracing::info!("{}: {why}", path.display()),
    }
}

/// A libc as a process has mapped it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapped {
    key: Key,
    /// The addresses, as `/proc/PID/maps` prints them.
    range: String,
    path: String,
}

impl Mapped {
    /// Where the file can be opened.
    fn place(&self, pid: Pid) -> Option<PathBuf> {
        let places = [
            // The very file, wherever it is mounted: for who has CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE (proc_map_files_get_link in
            // fs/proc/base.c).
            format!("/proc/{pid}/map_files/{}", self.range),
            // By its name in another mount namespace, where opening it may hang with its mount, which would have kept the process
            // itself from starting;
            format!("/proc/{pid}/root{}", self.path),
            // or below a directory that chroot(2) made the root of the process: names in maps begin at the reader's own
            // (seq_path in fs/seq_file.c).
            self.path.clone(),
        ];
        let is_it = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.ino() == self.key.1);
        places.into_iter().map(PathBuf::from).find(is_it)
    }
}

/// The libc that a process has mapped, if it has mapped one.
fn mapped_by(pid: Pid) -> Option<Mapped> {
    let maps = File::open(format!("/proc/{pid}/maps")).ok()?;
    let mut lines = BufReader::new(maps.take(MAPS)).lines().map_while(Result::ok);
    lines.find_map(|line| libc(&line))
}

/// A line of `/proc/PID/maps` (proc(5)): range, permissions, offset, device, inode, path.
fn libc(line: &str) -> Option<Mapped> {
    let mut fields = line.split_ascii_whitespace();
    let range = fields.next()?;
    let (device, inode) = (fields.nth(2)?, fields.next()?);
    let path = fields.next().filter(|path| path.starts_with('/'))?;
    let name = path.rsplit('/').next()?;
    // glibc's, under its own name or that of its file. musl's is the loader too, and lies under either's name: glibc's libc.so is a
    // text for the linker, which nobody maps.
    let is_libc = name.starts_with("libc.so")
        || name.starts_with("libc-2.")
        || name.starts_with("ld-musl-")
        || name.starts_with("libc.musl-");
    is_libc.then(|| Mapped {
        key: (device.to_owned(), inode.parse().unwrap_or(0)),
        range: range.to_owned(),
        path: path.to_owned(),
    })
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
        let mapped = libc(line).unwrap();
        assert_eq!(mapped.key, ("fe:00".to_owned(), 131));
        assert_eq!(mapped.range, "7f1c2a000000-7f1c2a026000");
        assert_eq!(mapped.path, "/usr/lib/x86_64-linux-gnu/libc.so.6");
        let at = |path: &str| libc(&format!("7f1c-7f1d r--p 00000000 fe:00 9 {path}"));
        assert!(at("/lib/ld-musl-x86_64.so.1").is_some());
        assert!(at("/usr/lib/x86_64-linux-musl/libc.so").is_some());
        assert_eq!(at("/usr/lib/libcurl.so.4"), None);
        assert_eq!(at("/usr/lib/libcrypt.so.1"), None);
        assert_eq!(libc("7ffd-7ffe rw-p 00000000 00:00 0 [stack]"), None);
    }

    #[test]
    fn its_file_is_found_by_one_of_three_ways() {
        let own = Pid(std::process::id().cast_signed());
        let Some(mapped) = mapped_by(own) else { return };
        let place = mapped.place(own).unwrap();
        assert_eq!(fs::metadata(place).unwrap().ino(), mapped.key.1);
        // Another file of that name is not taken for it.
        let other = Mapped { key: (mapped.key.0.clone(), 1), ..mapped };
        assert_eq!(other.place(own), None);
    }
}
