//! What is true at one moment, read from `/proc` and the kernel's socket tables without a stop.

use crate::units::{Fd, Inode, Nanos, Pid, Tid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use super::{Exit, GoRuntime, LockKind, LockMode, ProcessRole};

/// What is true now of the watched tree, and of those outside who hold its locks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Why it was taken.
    pub cause: SnapshotCause,
    /// The tree, and outsiders (`in_tree: false`): those that hold or wait for one of its locks, and those at the other end of
    /// what it waits at (a pipe, a unix socket, a connection inside this machine).
    pub processes: Vec<ProcessState>,
    /// The TCP and UDP sockets of those processes.
    pub sockets: Vec<Socket>,
    /// Their unix sockets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unix: Vec<UnixSocket>,
    /// The terminals that somebody reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terminals: Vec<Terminal>,
    /// The kernel's lock table, the lines that concern these files; empty in some containers.
    pub locks: Vec<KernelLock>,
    /// How many threads of the machine run or could (`/proc/loadavg`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runnable: Option<u32>,
    /// The control groups of the tree.
    pub cgroups: Vec<CgroupState>,
    /// The filesystems the command works on.
    pub filesystems: Vec<Filesystem>,
    /// Modules that are not unpacked to their end, as far as go was refused a file of theirs: go's notes of it that are there,
    /// `cache/download/MODULE/@v/VERSION.partial`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<String>,
    /// What could not be read, and why.
    pub unseen: Vec<String>,
}

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotCause {
    /// Nothing has moved for the threshold.
    #[default]
    Stall,
    /// A single wait has grown old while others move.
    OldWait,
    /// A second reading, to confirm or correct the first.
    Confirm,
    /// The command ended.
    End,
    /// Someone asked (`-p`, a timeout).
    Asked,
}

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessState {
    /// Its id.
    pub pid: Pid,
    /// Its id in its own pid namespace, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<Pid>,
    /// Its parent.
    pub ppid: Pid,
    /// Whether it belongs to what is watched.
    pub in_tree: bool,
    /// What kind of program.
    pub role: ProcessRole,
    /// `/proc/PID/comm`.
    pub comm: String,
    /// `/proc/PID/exe`.
    pub exe: Option<String>,
    /// Redacted, as in [`super::Exec`].
    pub argv: Vec<String>,
    /// Its working directory.
    pub cwd: Option<String>,
    /// Its user.
    pub uid: Option<u32>,
    /// `R S D T t Z X` of `/proc/PID/stat`; the state of the first thread.
    pub state: char,
    /// For a zombie, how it ended, where that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// CPU time used, all threads.
    pub cpu_ns: u64,
    /// Age of the process.
    pub age_ns: Nanos,
    /// Bytes handed to write(2) so far (`wchar` of `/proc/PID/io`).
    pub written: Option<u64>,
    /// Who started the nearest command above it that is a name people know: gopls, make, a CI runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<StartedBy>,
    /// Its threads, at most 512.
    pub threads: Vec<ThreadState>,
    /// Its descriptors, at most 4096.
    pub descriptors: Vec<Descriptor>,
    /// The terminal it controls or belongs to, as `pts/3`.
    pub tty: Option<String>,
    /// Whether its process group is the terminal's foreground group.
    pub foreground: Option<bool>,
    /// Its control group, the path in `/proc/PID/cgroup`.
    pub cgroup: Option<String>,
    /// Its goroutines, where it is a Go program and these were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go: Option<GoRuntime>,
}

impl ProcessState {
    /// The program it runs.
    pub fn program(&self) -> super::Exec {
        let own_name = || vec![self.comm.clone()];
        super::Exec {
            exe: self.exe.clone().unwrap_or_default(),
            argv: if self.argv.is_empty() { own_name() } else { self.argv.clone() },
            cwd: self.cwd.clone().unwrap_or_default(),
            role: self.role,
            // golang.org/x/telemetry/start.go gives its child this word, "for ps(1)".
            telemetry: self.argv.get(1).is_some_and(|word| word == "** telemetry **"),
        }
    }
}

/// The process that started another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StartedBy {
    /// Its id.
    pub pid: Pid,
    /// Its name.
    pub name: String,
}

/// A thread.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThreadState {
    /// Its id.
    pub tid: Tid,
    /// `R S D T t Z`.
    pub state: char,
    /// The system call it sits in; none while it runs, or where this may not be read.
    pub syscall: Option<Syscall>,
    /// CPU time it has used, of a thread that runs or could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ns: Option<u64>,
    /// The kernel function it sleeps in (`/proc/TID/wchan`), where readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wchan: Option<String>,
}

impl ThreadState {
    /// Whether it waits for something, and neither has nor wants a CPU (proc_pid_stat(5): S and D). Also true where its state is
    /// not known.
    pub fn sleeps(&self) -> bool {
        !matches!(self.state, 'R' | 'T' | 't' | 'Z' | 'X')
    }
}

/// A system call in progress, from `/proc/PID/task/TID/syscall`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Syscall {
    /// Its number in the native ABI.
    pub nr: u64,
    /// Its name.
    pub name: String,
    /// Its six arguments.
    pub args: [u64; 6],
}

/// An open descriptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Descriptor {
    /// Its number.
    pub fd: Fd,
    /// What it is.
    pub target: DescriptorTarget,
    /// The locks that this open file holds (`lock:` lines of fdinfo).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<HeldLock>,
    /// The file offset, for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos: Option<u64>,
    /// For pipes and terminals, what it was opened for (`flags:` of fdinfo).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// For pipes and terminals, whether it has O_CLOEXEC: then this program opened it, and did not inherit it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub close_on_exec: bool,
}

/// What a descriptor was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// O_RDONLY: of a pipe, the end that is read.
    Read,
    /// O_WRONLY: of a pipe, the end that is written to.
    Write,
    /// O_RDWR.
    Both,
}

/// What a descriptor refers to, from the link in `/proc/PID/fd`, which never blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DescriptorTarget {
    /// A socket.
    Socket(Inode),
    /// A pipe.
    Pipe(Inode),
    /// A terminal, as `pts/3`.
    Tty(String),
    /// A file or directory.
    File(String),
    /// `eventpoll`, `eventfd`, `pidfd`, ...
    Anon(String),
}

/// A lock that an open file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldLock {
    /// flock, posix or ofd.
    pub kind: LockKind,
    /// Shared or exclusive.
    pub mode: LockMode,
    /// The pid the kernel has noted: the one that locked, which may be dead, or 0 from another namespace.
    pub pid: Pid,
    /// `major:minor:inode` as the kernel prints it in both fdinfo and `/proc/locks`.
    pub file: String,
}

/// A line of `/proc/locks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelLock {
    /// The lock's number: a waiter has that of the lock it waits for.
    pub id: u64,
    /// Whether this is a waiter (`->`).
    pub waiting: bool,
    /// flock, posix or ofd.
    pub kind: LockKind,
    /// Shared or exclusive.
    pub mode: LockMode,
    /// Who locked, or waits.
    pub pid: Pid,
    /// `major:minor:inode`.
    pub file: String,
}

/// A TCP or UDP socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Socket {
    /// Its inode.
    pub inode: Inode,
    /// `tcp` or `udp`.
    pub protocol: super::Transport,
    /// `ESTABLISHED`, `SYN_SENT`, ...
    pub state: String,
    /// This end.
    pub local: SocketAddr,
    /// The other end; none while unconnected.
    pub peer: Option<SocketAddr>,
    /// Bytes waiting to be read.
    pub receive_queue: u32,
    /// Bytes written and not acknowledged.
    pub send_queue: u32,
    /// TCP's own view.
    pub tcp: Option<TcpInfo>,
}

/// A terminal that a process reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Terminal {
    /// As `pts/3`.
    pub name: String,
    /// Whether it shows what is typed (termios(3), ECHO): not while a password is asked for.
    pub echo: bool,
}

/// A unix socket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnixSocket {
    /// Its inode.
    pub inode: Inode,
    /// The inode of the socket at the other end; none while nobody has accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Inode>,
    /// The path it is bound to; `@name` where that is abstract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether it listens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listening: bool,
    /// Of a listening one, the inodes of those that wait to be accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Inode>,
}

/// What of `struct tcp_info` (linux/tcp.h) tells a dead path from a silent peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpInfo {
    /// Milliseconds since data was last sent.
    pub last_data_sent_ms: u32,
    /// Milliseconds since data was last received.
    pub last_data_received_ms: u32,
    /// Milliseconds since an acknowledgement was last received: fresh while the peer's kernel lives.
    pub last_ack_received_ms: u32,
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    /// Retransmissions of the oldest unacknowledged segment so far.
    pub retransmits: u32,
    /// All retransmissions in the connection's life.
    pub total_retransmits: u32,
    /// Unanswered keep-alive or zero-window probes.
    pub probes: u32,
    /// Backoff exponent of the retransmission timer.
    pub backoff: u32,
    /// Round-trip time in microseconds.
    pub rtt_us: u32,
    /// Sent bytes that were acknowledged.
    pub bytes_acked: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes not yet sent.
    pub not_sent: u32,
}

/// Counters of one TCP connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpSample {
    /// The socket's inode; 0 once it is closed.
    pub inode: Inode,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// `ESTABLISHED`, `SYN_SENT`, ...
    pub state: String,
    /// The counters.
    pub tcp: TcpInfo,
}

/// A light reading of everything that can move.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The tree's TCP connections.
    pub connections: Vec<TcpSample>,
    /// The tree's processes.
    pub processes: Vec<ProcessSample>,
}

/// Counters of one process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessSample {
    /// Its id.
    pub pid: Pid,
    /// CPU time used, with that of children that have ended.
    pub cpu_ns: u64,
    /// Bytes handed to write(2) for files (`write_bytes` and `wchar` of `/proc/PID/io`); 0 where unreadable.
    pub written: u64,
    /// `R S D T t Z` of its first thread.
    pub state: char,
}

/// The state of a control group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CgroupState {
    /// Its path below the cgroup filesystem.
    pub path: String,
    /// Whether it is frozen (`cgroup.events`, or `freezer.state` of version 1).
    pub frozen: bool,
    /// CPU quota as a share of one CPU (0.01 is 1 %); none without a limit.
    pub cpu_quota: Option<f64>,
    /// `nr_periods` of cpu.stat.
    pub periods: u64,
    /// `nr_throttled` of cpu.stat.
    pub throttled_periods: u64,
    /// Time throttled.
    pub throttled_ns: u64,
    /// `oom_kill` of memory.events.
    pub oom_kills: u64,
}

/// A filesystem the command works on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Filesystem {
    /// What it was asked for: `module cache`, `build cache`, `working directory`, `temporary files`.
    pub purpose: String,
    /// The path asked.
    pub path: String,
    /// The mount point.
    pub mount: Option<String>,
    /// `ext4`, `nfs`, `fuse.sshfs`, ...
    pub kind: Option<String>,
    /// Whether statfs(2) came back within its bound.
    pub answered: bool,
    /// Bytes an ordinary user may still write.
    pub free_bytes: Option<u64>,
    /// Files an ordinary user may still make.
    pub free_files: Option<u64>,
}
