//! The text of locks: `/proc/locks` and the `lock:` lines of fdinfo, which have one form (proc_locks(5)).
//!
//! A file is named by that text and never by fstat(2): on btrfs the devices differ.

use super::file;
use gmtrace_core::event::{Access, HeldLock, KernelLock, LockKind, LockMode};
use gmtrace_core::units::Pid;
use std::io;

/// At most this many lines of the table are kept.
const MAX_LINES: usize = 65_536;

/// The kernel's lock table. Leases and lines of an unknown form are left out.
///
/// # Errors
/// Those of reading `/proc/locks`.
pub(super) fn table() -> io::Result<Vec<KernelLock>> {
    let text = file::text("/proc/locks", file::TABLE)?;
    Ok(text.lines().filter_map(parse).take(MAX_LINES).collect())
}

/// `1: -> FLOCK  ADVISORY  WRITE 652 00:14:16763 0 EOF`
pub(super) fn parse(line: &str) -> Option<KernelLock> {
    let mut words = line.split_ascii_whitespace().peekable();
    let id = words.next()?.strip_suffix(':')?.parse().ok()?;
    let waiting = words.next_if_eq(&"->").is_some();
    let kind = match words.next()? {
        "FLOCK" => LockKind::Flock,
        "POSIX" => LockKind::Posix,
        "OFDLCK" => LockKind::Ofd,
        _ => return None,
    };
    let _advisory = words.next()?;
    let mode = match words.next()? {
        "READ" => LockMode::Shared,
        "WRITE" => LockMode::Exclusive,
        _ => return None,
    };
    let pid = Pid(words.next()?.parse().ok()?);
    let file = words.next().filter(|file| inode_of(file).is_some())?.to_owned();
    Some(KernelLock { id, waiting, kind, mode, pid, file })
}

/// The inode in `major:minor:inode`.
pub(super) fn inode_of(file: &str) -> Option<u64> {
    file.splitn(3, ':').nth(2)?.parse().ok()
}

/// The device in `major:minor:inode`, as (major, minor); both are hexadecimal there.
pub(super) fn device_of(file: &str) -> Option<(u32, u32)> {
    let mut parts = file.split(':');
    let mut part = || u32::from_str_radix(parts.next()?, 16).ok();
    Some((part()?, part()?))
}

/// What `/proc/PID/fdinfo/FD` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FdInfo {
    pub(super) pos: Option<u64>,
    /// Since Linux 5.14.
    pub(super) inode: Option<u64>,
    pub(super) mount: Option<u64>,
    pub(super) locks: Vec<HeldLock>,
    pub(super) access: Option<Access>,
    pub(super) close_on_exec: bool,
}

impl FdInfo {
    pub(super) fn read(pid: Pid, fd: i32) -> io::Result<FdInfo> {
        file::text(format!("/proc/{pid}/fdinfo/{fd}"), file::SMALL).map(|text| FdInfo::parse(&text))
    }

    fn parse(text: &str) -> FdInfo {
        let mut info = FdInfo::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            match key {
                "pos" => info.pos = value.trim().parse().ok(),
                "ino" => info.inode = value.trim().parse().ok(),
                "mnt_id" => info.mount = value.trim().parse().ok(),
                "flags" => info.take_flags(value),
                "lock" => info.locks.extend(parse(value).map(held)),
                _ => {}
            }
        }
        info
    }
}

impl FdInfo {
    /// The flags of open(2), in octal (proc_pid_fdinfo(5)).
    fn take_flags(&mut self, value: &str) {
        let Ok(flags) = i32::from_str_radix(value.trim(), 8) else { return };
        self.access = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => Some(Access::Read),
            libc::O_WRONLY => Some(Access::Write),
            libc::O_RDWR => Some(Access::Both),
            _ => None,
        };
        self.close_on_exec = flags & libc::O_CLOEXEC != 0;
    }
}

fn held(line: KernelLock) -> HeldLock {
    HeldLock { kind: line.kind, mode: line.mode, pid: line.pid, file: line.file }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table_and_of_fdinfo() {
        let line = parse("1: FLOCK  ADVISORY  WRITE 652 00:29:16763 0 EOF").unwrap();
        assert_eq!((line.id, line.waiting, line.pid), (1, false, Pid(652)));
        assert_eq!((line.kind, line.mode), (LockKind::Flock, LockMode::Exclusive));
        assert_eq!(inode_of(&line.file), Some(16763));
        assert_eq!(device_of(&line.file), Some((0, 0x29)));

        let waiter = parse("7:    -> OFDLCK ADVISORY  READ -1 fd:00:12 5 9").unwrap();
        assert!(waiter.waiting);
        assert_eq!(
            (waiter.kind, waiter.mode, waiter.pid),
            (LockKind::Ofd, LockMode::Shared, Pid(-1))
        );

        let info = FdInfo::parse(
            "pos:\t12\nflags:\t0100002\nmnt_id:\t36\nino:\t42\nlock:\t1: FLOCK  ADVISORY  WRITE 0 00:29:42 0 EOF\n",
        );
        assert_eq!((info.pos, info.inode, info.mount), (Some(12), Some(42), Some(36)));
        assert_eq!((info.access, info.close_on_exec), (Some(Access::Both), false));
        let read_end = FdInfo::parse("flags:\t02004000\n");
        assert_eq!((read_end.access, read_end.close_on_exec), (Some(Access::Read), true));
        let [lock] = &info.locks[..] else { panic!("{info:?}") };
        assert_eq!((lock.pid, lock.file.as_str()), (Pid(0), "00:29:42"));
    }

    #[test]
    fn garbage_is_left_out() {
        for line in [
            "",
            "1:",
            "x: FLOCK ADVISORY WRITE 1 0:0:1 0 EOF",
            "1: LEASE  ACTIVE  READ 1 00:1:2 0 EOF",
            "1: FLOCK ADVISORY WRITE 99999999999 0:0:1 0 EOF",
            "1: FLOCK ADVISORY WRITE 1 0:0 0 EOF",
            "1: FLOCK ADVISORY WRITE 1 <none>:0 0 EOF",
            "1: FLOCK ADVISORY UNLCK 1 0:0:1 0 EOF",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        assert_eq!(FdInfo::parse("pos:\nino: -1\nlock:\nmnt_id\nflags: 9"), FdInfo::default());
    }
}
