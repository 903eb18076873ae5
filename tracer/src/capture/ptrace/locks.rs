//! flock(2) and the locks of fcntl(2).

use super::engine::Engine;
use super::memory;
use super::pending::PendingLock;
use super::process::Calling;
use super::sockets;
use super::tracee::{Entry, Stopped};
use super::trap::{error_name, fd};
use gmtrace_core::event::{KnownBy, LockKind, LockMode, What};
use gmtrace_core::units::{Fd, Pid};
use libc::c_int;
use std::fs;
use std::rc::Rc;

/// The mount points that a process sees (`/proc/PID/mountinfo`), the longest first.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    points: Vec<(String, u64)>,
}

impl Mounts {
    fn of(pid: Pid) -> Mounts {
        Mounts::parse(&fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default())
    }

    /// proc(5), mountinfo: the first field is the mount's id, the fifth its point, with blanks as `\040`.
    fn parse(text: &str) -> Mounts {
        let mount = |line: &str| {
            let mut fields = line.split(' ');
            let id = fields.next()?.parse().ok()?;
            let point = fields.nth(3)?.replace("\\040", " ");
            Some((point, id))
        };
        let mut points: Vec<(String, u64)> = text.lines().filter_map(mount).collect();
        // Of two mounts on one point the later hides the earlier; a stable sort of the reversed list keeps it first.
        points.reverse();
        points.sort_by_key(|(point, _)| std::cmp::Reverse(point.len()));
        Mounts { points }
    }

    /// The mount that a path is on: that of the longest mount point above it.
    fn of_path(&self, path: &str) -> Option<u64> {
        let holds = |point: &str| {
            let rest = path.strip_prefix(point.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.points.iter().find(|(point, _)| holds(point)).map(|(_, id)| *id)
    }
}

/// A request for a lock, as its arguments say.
struct Request {
    fd: Fd,
    kind: LockKind,
    mode: LockMode,
    waits: bool,
}

impl Engine {
    /// flock(2) is let run: its exit would cost as much again, and the end shows at the thread's next stop. Only where it may
    /// not be granted at all (ENOLCK, ENOSYS: a filesystem that has not granted one yet), and where it does not wait, is
    /// the result worth a second stop.
    pub(super) fn flock(&mut self, thread: &Stopped, entry: Entry) {
        let [target, operation, ..] = entry.args;
        let operation = operation as c_int;
        let mode =
            if operation & libc::LOCK_SH != 0 { LockMode::Shared } else { LockMode::Exclusive };
        let waits = operation & libc::LOCK_NB == 0;
        self.requested(
            thread,
            entry,
            Request { fd: fd(target), kind: LockKind::Flock, mode, waits },
        );
    }

    /// F_SETLKW or F_OFD_SETLKW. An unlock waits for nobody.
    pub(super) fn record_lock(&mut self, thread: &Stopped, entry: Entry) {
        let [target, command, lock, ..] = entry.args;
        let kind = if command as c_int == libc::F_SETLKW { LockKind::Posix } else { LockKind::Ofd };
        // `struct flock` begins with `l_type`, a short.
        let bytes = memory::read(thread.tid(), lock, 2);
        let Ok(bytes) = <[u8; 2]>::try_from(bytes) else { return };
        let mode = match c_int::from(i16::from_ne_bytes(bytes)) {
            libc::F_RDLCK => LockMode::Shared,
            libc::F_WRLCK => LockMode::Exclusive,
            _ => return,
        };
        self.requested(thread, entry, Request { fd: fd(target), kind, mode, waits: false });
    }

    fn requested(&mut self, thread: &Stopped, entry: Entry, request: Request) {
        let Some(pid) = self.pid_of(thread) else { return };
        let Request { fd, kind, mode, waits } = request;
        // The link alone: a stat could hang on the very mount that the lock hangs on.
        let path = sockets::target(thread, fd).unwrap_or_default();
        let mount = self.mount_of(pid, &path);
        let granted = mount.is_some_and(|mount| self.granting.contains(&mount));
        let id = self.next_lock;
        self.next_lock = id.wrapping_add(1);
        let (tid, since) = (thread.id(), self.clock.now());
        self.tell(pid, tid, What::LockRequest { fd, path: path.clone(), kind, mode });
        self.locks.add(PendingLock { pid, tid, fd, path, since, id });
        self.await_end(thread, entry, Calling::Lock { id, mount }, !(waits && granted));
    }

    fn mount_of(&mut self, pid: Pid, path: &str) -> Option<u64> {
        let process = self.processes.get_mut(&pid)?;
        process.mounts.get_or_insert_with(|| Rc::new(Mounts::of(pid))).of_path(path)
    }

    /// A lock request's own result was seen.
    pub(super) fn lock_decided(&mut self, id: u64, mount: Option<u64>, result: i64) {
        if result == 0 {
            self.granting.extend(mount);
        }
        let result = error_name(result).unwrap_or_else(|| "ok".into());
        self.lock_over(id, Some(result), KnownBy::Return);
    }

    /// A lock request is over. Told unless the sampler has done so.
    pub(super) fn lock_over(&mut self, id: u64, result: Option<String>, known_by: KnownBy) {
        if let Some(lock) = self.locks.take(id) {
            let ended = lock.ended(self.clock.now(), result, known_by);
            self.send(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:25 / /home/a\\040b rw - tmpfs tmpfs rw
31 21 0:26 / /mod rw - nfs server:/mod rw
32 31 0:27 / /mod/cache rw - fuse.sshfs host: rw
33 21 0:28 / /mod rw - tmpfs tmpfs rw
";

    #[test]
    fn a_path_is_on_the_mount_nearest_above_it() {
        let mounts = Mounts::parse(MOUNTS);
        assert_eq!(mounts.of_path("/etc/x"), Some(21));
        assert_eq!(mounts.of_path("/mod/cache/download/x.lock"), Some(32));
        assert_eq!(mounts.of_path("/modules/x"), Some(21), "no part of a name");
        assert_eq!(mounts.of_path("/home/a b/c"), Some(30));
    }

    #[test]
    fn the_later_of_two_mounts_on_one_point_hides_the_earlier() {
        assert_eq!(Mounts::parse(MOUNTS).of_path("/mod/x"), Some(33));
    }

    #[test]
    fn without_mounts_nothing_is_known() {
        assert_eq!(Mounts::parse("").of_path("/x"), None);
    }
}
