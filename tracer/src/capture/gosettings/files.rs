//! Files as a process sees them, none of which can hold us up.

use super::proc_dir;
use crate::bounded::run_bounded;
use gmtrace_core::settings::EnvFile;
use gmtrace_core::units::Pid;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, SFlag, fstat};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a file holds.
pub(super) enum Content {
    /// There is none, or the command may not read it either.
    Absent,
    /// All of it.
    Bytes(Vec<u8>),
    /// It could not be read, or not in time, or it is too large.
    Unknown,
}

impl Content {
    /// Its text, what is no UTF-8 replaced.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Content::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Content::Absent | Content::Unknown => None,
        }
    }

    /// The same with the text that [`Content::text`] gave.
    pub(super) fn as_env_file<'a>(&self, text: Option<&'a str>) -> EnvFile<'a> {
        match (self, text) {
            (Content::Bytes(_), Some(text)) => EnvFile::Text(text),
            (Content::Absent, _) => EnvFile::Absent,
            _ => EnvFile::Unknown,
        }
    }
}

/// Where the process itself is read.
enum Source {
    /// `/proc/PID`.
    Live(PathBuf),
    /// What is known of a command that gmtrace started, which may be over before `/proc` can be read.
    Started(Started),
}

/// A command as gmtrace started it.
#[derive(Debug, Clone, Default)]
pub struct Started {
    /// The program.
    pub exe: String,
    /// Its working directory.
    pub cwd: String,
    /// Its environment as execve(2) takes it: `NAME=value`, each ended by a NUL.
    pub environ: Vec<u8>,
    /// Its words, each ended by a NUL.
    pub cmdline: Vec<u8>,
}

/// The files of one process, looked up under its own root directory.
pub(super) struct Files {
    source: Source,
    root: Arc<OwnedFd>,
    /// Whether its root directory is ours.
    same_root: bool,
    bound: Duration,
    deadline: Instant,
}

impl Files {
    /// None where the process is gone or may not be looked into.
    pub(super) fn of(pid: Pid, bound: Duration) -> Option<Files> {
        let proc = proc_dir(pid);
        let root_link = proc.join("root");
        let (root, same_root) = run_bounded(bound, move || {
            let root = File::open(root_link).ok()?;
            let identity = |data: std::fs::Metadata| (data.dev(), data.ino());
            let same = identity(root.metadata().ok()?) == identity(std::fs::metadata("/").ok()?);
            Some((Arc::new(OwnedFd::from(root)), same))
        })??;
        let deadline = Instant::now() + 3 * bound;
        Some(Files { source: Source::Live(proc), root, same_root, bound, deadline })
    }

    /// Those of a command that shares gmtrace's own root directory.
    pub(super) fn of_started(started: Started, bound: Duration) -> Option<Files> {
        let root = Arc::new(OwnedFd::from(run_bounded(bound, || File::open("/").ok())??));
        let deadline = Instant::now() + 3 * bound;
        Some(Files { source: Source::Started(started), root, same_root: true, bound, deadline })
    }

    /// Runs one access, unless the time for all of them is over.
    fn bounded<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let left = self.deadline.checked_duration_since(Instant::now())?;
        run_bounded(left.min(self.bound), work)
    }

    /// Where a link of `/proc/PID` leads, as `exe` and `cwd`.
    pub(super) fn link(&self, name: &str) -> Option<String> {
        let link = match &self.source {
            Source::Live(proc) => proc.join(name),
            Source::Started(started) => {
                return Some(if name == "exe" { &started.exe } else { &started.cwd }.clone());
            }
        };
        let target = self.bounded(move || std::fs::read_link(link))?.ok()?;
        target.into_os_string().into_string().ok()
    }

    /// What leads to the program or to the working directory.
    fn place(&self, name: &str) -> PathBuf {
        match &self.source {
            Source::Live(proc) => proc.join(name),
            Source::Started(started) if name == "exe" => PathBuf::from(&started.exe),
            Source::Started(started) => PathBuf::from(&started.cwd),
        }
    }

    /// A file of `/proc/PID`, whole; none where it has more than `max` bytes.
    pub(super) fn proc(&self, name: &str, max: usize) -> Option<Vec<u8>> {
        let path = match &self.source {
            Source::Live(proc) => proc.join(name),
            Source::Started(started) => {
                let bytes = if name == "environ" { &started.environ } else { &started.cmdline };
                return (bytes.len() <= max).then(|| bytes.clone());
            }
        };
        let bytes =
            self.bounded(move || File::open(path).and_then(|file| up_to(file, max)))?.ok()?;
        (bytes.len() <= max).then_some(bytes)
    }

    /// The program of the process, which `/proc/PID/exe` opens even when its name is gone.
    pub(super) fn with_exe<T: Send + 'static>(
        &self,
        work: impl FnOnce(File) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let path = self.place("exe");
        self.bounded(move || work(File::open(path).ok()?))?
    }

    /// An absolute path of the process, whole.
    pub(super) fn read(&self, path: &str, max: usize) -> Content {
        let Some(open) = self.opener(path, OFlag::O_RDONLY) else { return Content::Unknown };
        let read = self.bounded(move || -> Result<Content, Errno> {
            let fd = open()?;
            match kind(&fstat(&fd)?) {
                SFlag::S_IFREG => {}
                // GOENV=/dev/null holds nothing; go takes a directory for no file.
                SFlag::S_IFCHR | SFlag::S_IFDIR => return Ok(Content::Absent),
                _ => return Ok(Content::Unknown),
            }
            let bytes = up_to(File::from(fd), max).map_err(errno)?;
            Ok(if bytes.len() <= max { Content::Bytes(bytes) } else { Content::Unknown })
        });
        match read {
            Some(Ok(content)) => content,
            Some(Err(error)) if is_absent(error) => Content::Absent,
            Some(Err(_)) | None => Content::Unknown,
        }
    }

    /// Whether an absolute path of the process is a directory; none where that could not be found out.
    pub(super) fn is_dir(&self, path: &str) -> Option<bool> {
        self.stat(path).map(|stat| stat.is_some_and(|stat| kind(&stat) == SFlag::S_IFDIR))
    }

    /// Whether it is there and no directory.
    pub(super) fn is_file(&self, path: &str) -> Option<bool> {
        self.stat(path).map(|stat| stat.is_some_and(|stat| kind(&stat) != SFlag::S_IFDIR))
    }

    /// Whether an absolute path is the working directory.
    pub(super) fn is_cwd(&self, path: &str) -> Option<bool> {
        let link = self.place("cwd");
        let cwd = self.bounded(move || std::fs::metadata(link))?.ok()?;
        let stat = self.stat(path)?;
        Some(stat.is_some_and(|stat| (stat.st_dev, stat.st_ino) == (cwd.dev(), cwd.ino())))
    }

    fn stat(&self, path: &str) -> Option<Option<FileStat>> {
        let open = self.opener(path, OFlag::O_PATH)?;
        match self.bounded(move || open().and_then(|fd| fstat(&fd)))? {
            Ok(stat) => Some(Some(stat)),
            Err(error) if is_absent(error) => Some(None),
            Err(_) => None,
        }
    }

    /// Opens below the process's root. RESOLVE_IN_ROOT makes absolute links and `..` end there too (openat2(2)); without
    /// it a link in a container would be followed into our own files. A FIFO does not hold us up (O_NONBLOCK).
    fn opener(
        &self,
        path: &str,
        flags: OFlag,
    ) -> Option<impl FnOnce() -> Result<OwnedFd, Errno> + Send + 'static> {
        if !path.starts_with('/') {
            return None;
        }
        let (root, same_root, path) = (Arc::clone(&self.root), self.same_root, path.to_owned());
        // openat2(2) refuses flags that O_PATH makes meaningless.
        let flags = match flags {
            OFlag::O_PATH => flags | OFlag::O_CLOEXEC,
            _ => flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
        };
        Some(move || {
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
            match openat2(&*root, path.as_str(), how) {
                // Before Linux 5.6, and where a seccomp filter knows no openat2.
                Err(Errno::ENOSYS | Errno::EPERM) if same_root => {
                    nix::fcntl::open(path.as_str(), flags, nix::sys::stat::Mode::empty())
                }
                other => other,
            }
        })
    }
}

/// At most `max` bytes and one, which tells that there was more.
fn up_to(file: File, max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    match file.take(limit).read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(bytes),
        result => result.map(|_read| bytes),
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Errors for which the go command, too, has no file.
fn is_absent(error: Errno) -> bool {
    matches!(
        error,
        Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EACCES
            | Errno::ELOOP
            | Errno::EISDIR
            | Errno::ENAMETOOLONG
            | Errno::ENXIO
    )
}
