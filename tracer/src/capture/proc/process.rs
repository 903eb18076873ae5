//! One process as it is now.

use super::descriptors::{self, Opened};
use super::stat::{Stat, Status};
use super::{cgroup, file, threads, tree};
use crate::bounded::run_bounded;
use gmtrace_core::event::{DescriptorTarget, ProcessSample, ProcessState};
use gmtrace_core::redact;
use gmtrace_core::units::{Fd, Inode, Pid};
use std::borrow::Cow;
use std::time::Duration;

/// The words of a command line may come from memory that cannot be had for now.
const BOUND: Duration = Duration::from_secs(1);

/// At most this much of a command line is read.
const MAX_COMMAND_LINE: usize = 128 * 1024;

/// A process, and what tells its files from others of the same name.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) state: ProcessState,
    pub(super) opened: Vec<Opened>,
    pub(super) groups: cgroup::Membership,
}

impl Seen {
    /// None when there is no such process. What may not be read is left out and said.
    pub(super) fn read(pid: Pid, in_tree: bool, unseen: &mut Vec<String>) -> Option<Seen> {
        let directory = format!("/proc/{pid}");
        let stat = Stat::read(&directory).ok()?;
        let status = Status::read(pid);
        let written = counter(pid, "wchar:");
        let exe = file::link(format!("{directory}/exe")).ok();
        let groups = cgroup::Membership::read(pid);
        let zombie = stat.state == 'Z';
        let opened = descriptors::descriptors(pid).unwrap_or_else(|error| {
            if !zombie {
                unseen.push(format!("descriptors of process {pid} ({}): {error}", stat.comm));
            }
            Vec::new()
        });
        let threads = threads::threads(pid).unwrap_or_default();
        if !zombie && threads.iter().all(|thread| thread.syscall.is_none()) {
            say_refused_syscalls(pid, &stat.comm, unseen);
        }
        let state = ProcessState {
            pid,
            ns_pid: status.ns_pid,
            ppid: stat.ppid,
            in_tree,
            role: tree::role(exe.as_deref(), &stat.comm),
            argv: words(pid, exe.as_deref().unwrap_or(&stat.comm)),
            exe,
            cwd: file::link(format!("{directory}/cwd")).ok(),
            uid: status.uid,
            state: stat.state,
            exit: stat.exit(written.is_some()),
            cpu_ns: stat.cpu_ns(pid),
            age_ns: stat.age(),
            written,
            started_by: tree::started_by(pid),
            threads,
            descriptors: opened.iter().map(|opened| opened.descriptor.clone()).collect(),
            tty: stat.tty_name(),
            foreground: stat.foreground(),
            cgroup: groups.path(),
            go: None,
            comm: stat.comm,
        };
        Some(Seen { state, opened, groups })
    }

    /// The inodes of its sockets.
    pub(super) fn sockets(&self) -> Vec<Inode> {
        let targets = self.opened.iter().map(|opened| &opened.descriptor.target);
        let inodes = targets.filter_map(|target| match target {
            DescriptorTarget::Socket(inode) => Some(*inode),
            _ => None,
        });
        inodes.collect()
    }

    /// The descriptor with this number.
    pub(super) fn opened(&self, fd: Fd) -> Option<&Opened> {
        self.opened.iter().find(|opened| opened.descriptor.fd == fd)
    }
}

/// What of a process can move; none when it is gone.
///
/// `wchar`, because `write_bytes` stays 0 on tmpfs. It counts sockets and pipes too, which the session allows for.
pub(super) fn sample(pid: Pid) -> Option<ProcessSample> {
    let stat = Stat::read(format!("/proc/{pid}")).ok()?;
    let written = counter(pid, "wchar:").unwrap_or(0);
    Some(ProcessSample { pid, cpu_ns: stat.cpu_ns_with_children(pid), written, state: stat.state })
}

/// CPU time of a process alone; 0 when it is gone.
pub(super) fn cpu_ns(pid: Pid) -> u64 {
    Stat::read(format!("/proc/{pid}")).map_or(0, |stat| stat.cpu_ns(pid))
}

/// A counter of `/proc/PID/io`, which asks for the permission to ptrace(2).
fn counter(pid: Pid, key: &str) -> Option<u64> {
    let text = file::text(format!("/proc/{pid}/io"), 4096).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().parse().ok()
}

fn say_refused_syscalls(pid: Pid, comm: &str, unseen: &mut Vec<String>) {
    if let Err(error) = threads::syscall(pid, pid.into()) {
        unseen.push(format!("system calls of process {pid} ({comm}): {error}"));
    }
}

/// The words of the command line, credentials removed. Where the program may not be read, it is what the process calls itself.
fn words(pid: Pid, program: &str) -> Vec<String> {
    let read = move || file::bytes(format!("/proc/{pid}/cmdline"), MAX_COMMAND_LINE);
    let Some(Ok(bytes)) = run_bounded(BOUND, read) else { return Vec::new() };
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word));
    let words: Vec<String> = words.map(Cow::into_owned).collect();
    redact::argv_for(program, &words)
}
