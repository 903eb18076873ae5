//! Who waits for which lock, and who holds it.

use super::descriptors::{self, Opened};
use super::locks::{self, FdInfo};
use super::mounts::{self, Mount};
use super::process::Seen;
use super::threads::{Asked, asked_lock};
use super::{file, tree};
use gmtrace_core::event::{DescriptorTarget, KernelLock, ProcessRole};
use gmtrace_core::units::Pid;
use std::collections::BTreeSet;

/// At most this many descriptors are looked at in search of holders: about a second.
const MAX_SCANNED: usize = 100_000;

/// A thread that waits for a lock.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pid: Pid,
    asked: Asked,
    path: String,
    inode: Option<u64>,
    mount: Option<u64>,
    /// Device of the mount that the file was opened on. Not that of the lock everywhere (btrfs).
    device: Option<(u32, u32)>,
    /// `major:minor:inode` as the kernel writes it in locks, once known.
    file: Option<String>,
    /// Whether the kernel's table has a line for it.
    listed: bool,
}

/// The waits of the threads of `process`.
pub(super) fn of_process(process: &Seen, table: &[KernelLock]) -> Vec<Wait> {
    let syscalls = process.state.threads.iter().filter_map(|thread| thread.syscall.as_ref());
    let asked: Vec<Asked> = syscalls.filter_map(asked_lock).collect();
    if asked.is_empty() {
        return match process.state.threads.iter().all(|thread| thread.syscall.is_none()) {
            true => listed_waits(process, table),
            false => Vec::new(),
        };
    }
    let mounts = mounts::of_process(process.state.pid).unwrap_or_default();
    asked.into_iter().filter_map(|asked| wait(process, asked, table, &mounts)).collect()
}

/// Where system calls may not be read, the waits that the kernel's table lists.
fn listed_waits(process: &Seen, table: &[KernelLock]) -> Vec<Wait> {
    let pid = process.state.pid;
    let lines = table.iter().filter(|line| line.waiting && line.pid == pid);
    let wait = |line: &KernelLock| {
        let inode = locks::inode_of(&line.file);
        let opened = process.opened.iter().find(|opened| opened.inode == inode)?;
        let DescriptorTarget::File(path) = &opened.descriptor.target else { return None };
        Some(Wait {
            pid,
            asked: Asked { fd: opened.descriptor.fd, kind: line.kind, mode: Some(line.mode) },
            path: path.clone(),
            inode,
            mount: opened.mount,
            device: None,
            file: Some(line.file.clone()),
            listed: true,
        })
    };
    lines.filter_map(wait).collect()
}

fn wait(process: &Seen, asked: Asked, table: &[KernelLock], mounts: &[Mount]) -> Option<Wait> {
    let opened = process.opened(asked.fd)?;
    let DescriptorTarget::File(path) = &opened.descriptor.target else { return None };
    let pid = process.state.pid;
    let file = listed_file(pid, asked, opened.inode, table);
    let mount = mounts.iter().find(|mount| Some(mount.id) == opened.mount);
    Some(Wait {
        pid,
        asked,
        path: path.clone(),
        inode: opened.inode,
        mount: opened.mount,
        device: mount.map(|mount| mount.device),
        listed: file.is_some(),
        file,
    })
}

/// The file of the one waiter's line that can be meant: threads of one process are listed under one id.
fn listed_file(pid: Pid, asked: Asked, inode: Option<u64>, table: &[KernelLock]) -> Option<String> {
    let own =
        table.iter().filter(|line| line.waiting && line.pid == pid && line.kind == asked.kind);
    let files: BTreeSet<&str> = own
        .map(|line| line.file.as_str())
        .filter(|file| inode.is_none() || locks::inode_of(file) == inode)
        .collect();
    let mut files = files.into_iter();
    files.next().filter(|_| files.next().is_none()).map(str::to_owned)
}

impl Wait {
    /// Whether the lock on `file`, held through a descriptor that is called `path`, is the one waited for.
    fn is_for(&self, file: &str, path: &str, mount: Option<u64>) -> bool {
        if let Some(known) = &self.file {
            return known == file;
        }
        let same_name = path == self.path;
        if self.inode.is_none() {
            return same_name;
        }
        let same_mount = mount.is_some() && mount == self.mount;
        let same_device = self.device.is_some() && locks::device_of(file) == self.device;
        locks::inode_of(file) == self.inode && (same_name || same_mount || same_device)
    }

    /// Learns the kernel's name of the file from a descriptor that holds the lock; whether it does.
    fn learn(&mut self, opened: &Opened) -> bool {
        let DescriptorTarget::File(path) = &opened.descriptor.target else { return false };
        let held = opened.descriptor.locks.iter().find(|lock| {
            lock.kind == self.asked.kind && self.is_for(&lock.file, path, opened.mount)
        });
        if let Some(lock) = held {
            self.file = Some(lock.file.clone());
        }
        held.is_some()
    }

    /// The line that the kernel does not print where a namespace hides the holder: number 0.
    fn unlisted(&self) -> Option<KernelLock> {
        Some(KernelLock {
            id: 0,
            waiting: true,
            kind: self.asked.kind,
            mode: self.asked.mode?,
            pid: self.pid,
            file: self.file.clone().filter(|_| !self.listed)?,
        })
    }
}

/// The processes that are not `known` and hold what one of `waits` is for, or wait for it as well.
pub(super) fn outsiders(
    waits: &mut [Wait],
    known: &[Seen],
    table: &[KernelLock],
    scan_machine: bool,
) -> Vec<Pid> {
    if waits.is_empty() {
        return Vec::new();
    }
    let mut search = Search {
        left: MAX_SCANNED,
        looked_at: known.iter().map(|process| process.state.pid).collect(),
        found: Vec::new(),
    };
    let held_inside = held_by_known(waits, known);
    search.look(listed(waits, table), waits);
    search.look(relatives(known), waits);
    let nobody = search.found.is_empty() && !held_inside;
    if scan_machine || nobody {
        search.look(tree::everyone(), waits);
    }
    let inside: BTreeSet<Pid> = known.iter().map(|process| process.state.pid).collect();
    let mut found = search.found;
    let others = table.iter().filter(|line| line.waiting && concerns(waits, line));
    for pid in others.map(|line| line.pid) {
        if pid.0 > 0 && !inside.contains(&pid) && !found.contains(&pid) {
            found.push(pid);
        }
    }
    found
}

/// The processes that wait, by the kernel's table, for a lock that one of `known` holds, and are none of them.
pub(super) fn behind(known: &[Seen], table: &[KernelLock]) -> Vec<Pid> {
    let opened = known.iter().flat_map(|process| &process.opened);
    let held: BTreeSet<&str> =
        opened.flat_map(|opened| &opened.descriptor.locks).map(|lock| lock.file.as_str()).collect();
    let inside: BTreeSet<Pid> = known.iter().map(|process| process.state.pid).collect();
    let lines = table.iter().filter(|line| line.waiting && held.contains(line.file.as_str()));
    let pids: BTreeSet<Pid> = lines.map(|line| line.pid).filter(|pid| pid.0 > 0).collect();
    pids.difference(&inside).copied().collect()
}

/// Whether each wait is for a lock that a known process holds.
fn held_by_known(waits: &mut [Wait], known: &[Seen]) -> bool {
    let mut all = true;
    for wait in waits {
        let mut opened = known.iter().flat_map(|process| &process.opened);
        all &= opened.any(|opened| wait.learn(opened));
    }
    all
}

/// The pids that the table names as holders. Some may be dead, or forgot the lock.
fn listed(waits: &[Wait], table: &[KernelLock]) -> Vec<Pid> {
    let holders = table.iter().filter(|line| !line.waiting && concerns(waits, line));
    holders.map(|line| line.pid).filter(|pid| pid.0 > 0).collect()
}

fn concerns(waits: &[Wait], line: &KernelLock) -> bool {
    waits.iter().any(|wait| match &wait.file {
        Some(file) => *file == line.file,
        None => wait.inode.is_some() && locks::inode_of(&line.file) == wait.inode,
    })
}

/// Processes of the same users that lock what go locks.
fn relatives(known: &[Seen]) -> Vec<Pid> {
    let users: BTreeSet<Option<u32>> = known.iter().map(|process| process.state.uid).collect();
    let mut everyone = tree::everyone();
    everyone.retain(|pid| {
        let exe = file::link(format!("/proc/{pid}/exe")).ok();
        exe.is_some_and(|exe| tree::role(Some(&exe), "") != ProcessRole::Other)
            && users.contains(&super::stat::Status::read(*pid).uid)
    });
    everyone
}

/// A search for holders through the descriptors of other processes.
struct Search {
    /// How many descriptors may still be looked at.
    left: usize,
    looked_at: BTreeSet<Pid>,
    found: Vec<Pid>,
}

impl Search {
    fn look(&mut self, pids: Vec<Pid>, waits: &mut [Wait]) {
        for pid in pids {
            if self.looked_at.insert(pid) && self.holds(pid, waits) {
                self.found.push(pid);
            }
        }
    }

    fn holds(&mut self, pid: Pid, waits: &mut [Wait]) -> bool {
        let fds =
            file::numbers(format!("/proc/{pid}/fd"), descriptors::MAX_DESCRIPTORS.min(self.left));
        let fds = fds.unwrap_or_default();
        self.left = self.left.saturating_sub(fds.len());
        let mut holds = false;
        for opened in fds.into_iter().filter_map(|fd| locking(pid, fd)) {
            for wait in &mut *waits {
                holds |= wait.learn(&opened);
            }
        }
        holds
    }
}

/// A descriptor that holds locks. fdinfo is read first: most descriptors hold none, and then the link is not needed.
fn locking(pid: Pid, fd: i32) -> Option<Opened> {
    let info = FdInfo::read(pid, fd).ok().filter(|info| !info.locks.is_empty())?;
    descriptors::with_info(pid, fd, info)
}

/// The lines of the table that concern what is waited for or held here, and those that the kernel does not print.
pub(super) fn concerned(
    waits: &[Wait],
    processes: &[Seen],
    mut table: Vec<KernelLock>,
    limit: usize,
) -> Vec<KernelLock> {
    let opened = processes.iter().flat_map(|process| &process.opened);
    let held = opened.flat_map(|opened| &opened.descriptor.locks).map(|lock| lock.file.as_str());
    let files: BTreeSet<&str> =
        held.chain(waits.iter().filter_map(|wait| wait.file.as_deref())).collect();
    table.retain(|line| files.contains(line.file.as_str()));
    table.extend(waits.iter().filter_map(Wait::unlisted));
    table.truncate(limit);
    table
}
