//! Files that `-o` names.

use super::screen::Style;
use crate::cli::Format;
use anyhow::{Context, Result, bail};
use gmtrace::capture::proc::may_not_answer;
use gmtrace::launch::keep_descriptor;
use gmtrace_core::report::Report;
use gmtrace_core::report::palette::Palette;
use gmtrace_core::text::Escaped;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a disk may take to say what is there.
const BOUND: Duration = Duration::from_secs(1);

/// A file to be written, and in which form.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where; `-` is standard output.
    pub path: PathBuf,
    /// In which form, from the ending.
    pub format: Format,
    /// Whether it is a stream: standard output, a descriptor, a FIFO.
    direct: bool,
    /// What `/dev/fd/N` was at the start: the tracer closes what it has inherited.
    inherited: Option<Arc<File>>,
}

/// What is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A stream, to be written to as it is.
    Direct,
    /// A directory.
    Directory,
    /// A file, or nothing yet.
    File,
    /// Not even the directory.
    Nowhere,
}

impl Place {
    /// What is at `path`. No thread of this process may sleep on a dead disk: the shell waits for it, and it could not end.
    fn of(path: &Path) -> Place {
        if path.as_os_str() == "-" || descriptor(path).is_some() {
            return Place::Direct;
        }
        if !may_not_answer(path) {
            return Place::look(path);
        }
        match has_directory(directory_of(path)) {
            Some(false) => Place::Nowhere,
            Some(true) | None => Place::File,
        }
    }

    fn look(path: &Path) -> Place {
        if is_fifo(path) {
            return Place::Direct;
        }
        match (directory_of(path).is_dir(), path.is_dir()) {
            (false, _) => Place::Nowhere,
            (true, true) => Place::Directory,
            (true, false) => Place::File,
        }
    }
}

/// Asks a process of its own (test(1)), which may sleep on without anybody; none when it has not come back in time.
fn has_directory(directory: &Path) -> Option<bool> {
    let mut asked = Command::new("test");
    asked.arg("-d").arg(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = asked.spawn().ok()?;
    let begun = Instant::now();
    while begun.elapsed() < BOUND {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status.success());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What endings there are, the longest first.
const ENDINGS: &[(&str, Format)] = &[
    (".trace.json", Format::Chrome),
    (".pftrace", Format::Perfetto),
    (".jsonl", Format::Jsonl),
    (".json", Format::Json),
    (".html", Format::Html),
    (".md", Format::Markdown),
];

impl Target {
    /// Reads the form off the ending. `/dev/fd/N`, FIFOs and `-` have none: they get the timeline. Call it while descriptors are
    /// what they were at the start.
    ///
    /// # Errors
    /// Another ending, a directory that is not there or does not answer, a descriptor that is not open.
    pub fn parse(path: &OsStr) -> Result<Target> {
        let known = ENDINGS.iter().find(|(ending, _)| path.as_bytes().ends_with(ending.as_bytes()));
        let path = PathBuf::from(path);
        let place = Place::of(&path);
        let name = path.to_string_lossy().into_owned();
        let name = Escaped(&name);
        let format = match known {
            Some((_, format)) => *format,
            None if place == Place::Direct => Format::Json,
            None => bail!(
                "-o {name}: the ending picks the form: .json .jsonl .html .pftrace .trace.json or .md"
            ),
        };
        let inherited = descriptor(&path).map(keep_descriptor).transpose();
        let inherited = inherited.with_context(|| format!("-o {name}: no such descriptor"))?;
        match place {
            Place::Nowhere => bail!("-o {name}: there is no such directory; make it first"),
            Place::Directory => bail!("-o {name}: that is a directory; name a file in it"),
            Place::Direct | Place::File => {
                let inherited = inherited.map(|fd| Arc::new(File::from(fd)));
                Ok(Target { path, format, direct: place == Place::Direct, inherited })
            }
        }
    }

    /// Whether this is standard output.
    pub fn is_stdout(&self) -> bool {
        self.path.as_os_str() == "-" || descriptor(&self.path) == Some(1)
    }

    /// Replaces `{pid}` in the file's name; in those of directories it is a name like others.
    pub fn for_pid(&self, pid: i32) -> Target {
        let mut target = self.clone();
        if let Some(name) = self.path.file_name().filter(|_| !self.direct) {
            target.path.set_file_name(with_pid(name, pid));
        }
        target
    }

    /// Whether it is written to directly, once, at the end.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Writes a report: beside its place, and renamed over it.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, report: &Report) -> Result<()> {
        let style = Style { width: 80, palette: Palette::PLAIN };
        let bytes = super::render(report, self.format, &style);
        if self.path.as_os_str() == "-" {
            return std::io::stdout().write_all(&bytes).context("standard output");
        }
        if let Some(file) = &self.inherited {
            return Ok((&**file).write_all(&bytes)?);
        }
        if self.is_direct() {
            let mut file = OpenOptions::new().write(true).open(&self.path)?;
            return Ok(file.write_all(&bytes)?);
        }
        replace(&self.path, &bytes)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped(&self.path.to_string_lossy()))
    }
}

/// What becomes the process id.
const PID: &[u8] = b"{pid}";

/// Names need not be UTF-8.
fn with_pid(name: &OsStr, pid: i32) -> OsString {
    let (mut rest, mut made) = (name.as_bytes(), Vec::new());
    while let Some(at) = rest.windows(PID.len()).position(|w| w == PID) {
        let (before, after) = rest.split_at(at);
        made.extend_from_slice(before);
        made.extend_from_slice(pid.to_string().as_bytes());
        rest = after.get(PID.len()..).unwrap_or_default();
    }
    made.extend_from_slice(rest);
    OsString::from_vec(made)
}

/// The descriptor that a path names, as /dev/fd/N does (proc_pid_fd(5)).
fn descriptor(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        path => {
            let homes = ["/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"];
            homes.iter().find_map(|home| path.strip_prefix(home))?.parse().ok()
        }
    }
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo() || m.file_type().is_char_device())
}

/// Writes `bytes` beside `path` (O_EXCL, so no link is followed) and renames it into place; mode by umask, owner the invoking
/// user under sudo.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = tempfile::Builder::new()
        .prefix(".gmtrace-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory_of(path))?;
    beside.write_all(bytes)?;
    give_to_invoker(beside.as_file())?;
    beside.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Under sudo, files belong to who called it (sudo(8), SUDO_UID and SUDO_GID).
pub fn give_to_invoker(file: &File) -> Result<()> {
    let id = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u32>().ok());
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    if let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) {
        std::os::unix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};
    use std::os::fd::AsRawFd;

    #[test]
    fn the_ending_picks_the_form() {
        let dir = tempfile::tempdir().unwrap();
        let format =
            |name: &str| Target::parse(dir.path().join(name).as_os_str()).map(|t| t.format);
        assert_eq!(format("a.json").unwrap(), Format::Json);
        assert_eq!(format("a.trace.json").unwrap(), Format::Chrome);
        assert_eq!(format("a.jsonl").unwrap(), Format::Jsonl);
        assert!(format("a.txt").is_err());
        assert!(format("missing/a.json").is_err());
        assert_eq!(Target::parse(OsStr::new("-")).unwrap().format, Format::Json);
    }

    #[test]
    fn a_link_in_the_way_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, link) = (dir.path().join("victim"), dir.path().join("run.json"));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        replace(&link, b"{}").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert_eq!(fs::read(&link).unwrap(), b"{}");
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn the_pid_goes_into_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("of-{pid}");
        fs::create_dir(&dir).unwrap();
        let name = OsStr::from_bytes(b"\xff-{pid}-{pid}.json");
        let target = Target::parse(dir.join(name).as_os_str()).unwrap();
        assert_eq!(target.for_pid(42).path, dir.join(OsStr::from_bytes(b"\xff-42-42.json")));
    }

    #[test]
    fn a_descriptor_is_kept_from_the_start_and_standard_output_is_known() {
        let mut file = tempfile::tempfile().unwrap();
        let name = format!("/dev/fd/{}", file.as_raw_fd());
        let target = Target::parse(OsStr::new(&name)).unwrap();
        assert!(target.is_direct() && !target.is_stdout());
        (&**target.inherited.as_ref().unwrap()).write_all(b"report").unwrap();
        let mut written = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut written).unwrap();
        assert_eq!(written, "report");
        for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert!(Target::parse(OsStr::new(name)).unwrap().is_stdout(), "{name}");
        }
        assert!(Target::parse(OsStr::new("/dev/fd/1000000")).is_err());
    }
}
