//! What a backend says: events, and nothing else leaves capture.
//!
//! These types are the recording format too (`gmtrace.recording/1`): one [`Record`] a line. Readers ignore keys and event
//! types they do not know.

mod gocall;
mod goroutines;
mod settings;
mod snapshot;
mod syscall;
mod work;

pub use gocall::*;
pub use goroutines::*;
pub use settings::*;
pub use snapshot::*;
pub use syscall::WaitsIn;
pub use work::*;

use crate::decode::sockaddr::Address;
use crate::units::{Fd, Inode, Nanos, Pid, Tid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The schema name of a recording. Removing or changing a key makes `/2`.
pub const RECORDING_SCHEMA: &str = "gmtrace.recording/1";

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Record {
    /// The first line.
    Header(Box<Header>),
    /// The last line; a recording without it was cut off.
    End(End),
    /// Everything between.
    Event(Box<Event>),
}

/// `"type": "header"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeaderTag {
    /// The only value.
    #[default]
    #[serde(rename = "header")]
    Header,
}

/// `"type": "end"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EndTag {
    /// The only value.
    #[default]
    #[serde(rename = "end")]
    End,
}

/// What is known before the command runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// Always `header`.
    pub r#type: HeaderTag,
    /// [`RECORDING_SCHEMA`].
    pub schema: String,
    /// Version of the gmtrace that recorded.
    pub gmtrace: String,
    /// How the recording came about.
    pub mode: Mode,
    /// The command's words, redacted.
    pub argv: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// Its process id; 0 until it has been started.
    pub pid: Pid,
    /// Wall clock at `t` = 0, RFC 3339 with nanoseconds. The only wall-clock time in a recording.
    pub started_at: String,
    /// The machine.
    pub host: Host,
    /// What captures, and what it cannot see.
    pub backend: Backend,
    /// `--stall-after`: nothing moving for this long is a stall; 0 is never.
    pub stall_after_ns: Nanos,
}

/// How gmtrace came to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// gmtrace started the command.
    Launch,
    /// gmtrace looked into a running process.
    Attach,
    /// Rendered again from a recording.
    Replay,
}

/// The machine a run happened on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub arch: String,
    /// Number of CPUs that may be used.
    pub cpus: u32,
}

/// Which backend captures, why, and what that costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// `ptrace`, `ebpf`, `proc` or `replay`.
    pub name: String,
    /// Why this one.
    pub why: String,
    /// What it cannot see, one sentence each.
    pub unseen: Vec<String>,
}

/// The last line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// Always `end`.
    pub r#type: EndTag,
    /// When the run was over.
    pub t: Nanos,
    /// How the command ended; none while it is still alive (attach).
    pub exit: Option<Exit>,
    /// What made it end.
    pub ended_by: Option<EndedBy>,
    /// Events lost and values unreadable, in all.
    pub lost: u64,
}

/// What ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// It exited.
    Exit,
    /// A signal that gmtrace did not send.
    Signal,
    /// `--timeout`.
    Timeout,
    /// `--stall-timeout`.
    StallTimeout,
    /// Ctrl-C.
    Interrupt,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// exit(2) with this status, 0 to 255.
    Code(u8),
    /// Killed by this signal, as `SIGKILL`.
    Signal(String),
}

/// Something that happened, at `t`, in thread `tid` of process `pid`. What concerns no one process has pid 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When.
    pub t: Nanos,
    /// In which process.
    pub pid: Pid,
    /// In which thread.
    pub tid: Tid,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum What {
    /// A process began (fork, vfork, clone without CLONE_THREAD), or was found.
    ProcessStart {
        /// Its parent.
        ppid: Pid,
        /// Its id in its own pid namespace, where that differs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ns_pid: Option<Pid>,
    },
    /// execve(2) succeeded: the process is another program now.
    Exec(Exec),
    /// The process ended.
    ProcessExit {
        /// How.
        exit: Exit,
        /// CPU time of the process and its reaped children; 0 where unknown.
        #[serde(default)]
        cpu_ns: u64,
    },
    /// The process is no longer there, and how it ended cannot be told: it is nobody's here to wait for.
    ProcessGone,
    /// connect(2) was called.
    Connect {
        /// The socket's descriptor.
        fd: Fd,
        /// Its inode.
        socket: Option<Inode>,
        /// TCP, UDP, unix.
        transport: Transport,
        /// Whom.
        peer: Address,
    },
    /// A connection attempt was decided, by the call's own result or by getsockopt(SO_ERROR).
    ConnectEnd {
        /// The socket's descriptor.
        fd: Fd,
        /// Its inode.
        socket: Option<Inode>,
        /// `ok`, `EINPROGRESS`, or the error's name.
        result: String,
    },
    /// A DNS question left.
    DnsQuestion {
        /// The socket.
        socket: Option<Inode>,
        /// The resolver asked.
        server: Option<SocketAddr>,
        /// The message's id.
        id: u16,
        /// The name asked, without the last dot.
        name: String,
        /// `A`, `AAAA`, ...
        qtype: String,
        /// Who asks: Go's own resolver or libc's.
        via: ResolverKind,
    },
    /// A DNS answer arrived.
    DnsAnswer {
        /// The socket.
        socket: Option<Inode>,
        /// The message's id.
        id: u16,
        /// The name in the answer's question.
        name: Option<String>,
        /// The type in the answer's question.
        qtype: Option<String>,
        /// `NOERROR`, `NXDOMAIN`, `SERVFAIL`, ...
        rcode: String,
        /// The addresses, at most 16.
        addresses: Vec<IpAddr>,
    },
    /// A read on a resolver's socket failed: `ECONNREFUSED` is an ICMP "port unreachable".
    DnsError {
        /// The socket.
        socket: Option<Inode>,
        /// The error's name.
        error: String,
    },
    /// libc's getaddrinfo began. Seen, where it has a name; otherwise inferred from its nscd step.
    GetaddrinfoStart {
        /// What it looks up. Empty where there is none, or it could not be read yet: then its end has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The service, a name or the number of a port; none where there is none, or it could not be read yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// libc's getaddrinfo has returned.
    GetaddrinfoEnd {
        /// What it looked up.
        name: String,
        /// The service, a name or the number of a port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// `ok`, or the error's name (`EAI_AGAIN`, getaddrinfo(3)).
        result: String,
    },
    /// A TLS ClientHello left.
    TlsClientHello {
        /// The connection.
        socket: Option<Inode>,
        /// The server's name as the client asks for it.
        sni: Option<String>,
        /// Bytes of the whole record on the wire.
        size: u32,
    },
    /// The first bytes that came back on a TLS connection.
    TlsReply {
        /// The connection.
        socket: Option<Inode>,
        /// What they were.
        reply: TlsReply,
    },
    /// A plain HTTP request line left, or a CONNECT to a web proxy.
    HttpRequest {
        /// The connection.
        socket: Option<Inode>,
        /// `GET`, `CONNECT`, ...
        method: String,
        /// Absolute, redacted; for CONNECT `host:port`.
        url: String,
        /// Whether Proxy-Authorization was sent.
        #[serde(default)]
        proxy_authorization: bool,
    },
    /// A plain HTTP response head arrived.
    HttpResponse {
        /// The connection.
        socket: Option<Inode>,
        /// The status.
        status: u16,
        /// Content-Length.
        content_length: Option<u64>,
        /// Content-Type.
        content_type: Option<String>,
        /// Location, redacted.
        location: Option<String>,
    },
    /// A goroutine began a request of HTTP, before there is a connection for it. A redirect leads to another request. Seen by a probe on
    /// net/http, inside TLS too.
    GoRequest {
        /// The goroutine. It has one request at a time.
        goid: u64,
        /// `GET`, ...
        method: String,
        /// Redacted, and without its query; what is longer than is kept ends with `...`.
        url: String,
    },
    /// The request of a goroutine goes to a connection. It may come again, for another one, where the first was just closed.
    GoRequestOn {
        /// The goroutine.
        goid: u64,
        /// The connection, where it is known.
        socket: Option<Inode>,
        /// Whether HTTP/2 is spoken there; otherwise HTTP/1.
        http2: bool,
        /// Whether it is inside TLS.
        tls: bool,
    },
    /// The request of a goroutine is answered, up to the header, or has failed.
    GoResponse {
        /// The goroutine.
        goid: u64,
        /// The status; none where there was no answer.
        status: Option<u16>,
        /// Content-Length, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content_length: Option<u64>,
        /// Of one that failed, where it could be read: the error's type in Go, the operation or the words that it begins with, and the
        /// type of its cause, as `net.OpError remote error: tls.alert`. Redacted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A goroutine of a go command begins a step for a module. Seen by a probe on cmd/go.
    GoStepStart {
        /// The goroutine.
        goid: u64,
        /// What it does.
        step: GoStep,
        /// `path@version`.
        module: String,
    },
    /// The step of a goroutine is over.
    GoStepEnd {
        /// The goroutine.
        goid: u64,
        /// What it did.
        step: GoStep,
        /// `path@version`.
        module: String,
        /// Whether that failed.
        failed: bool,
    },
    /// A goroutine begins something that goes on for a while. Seen by a probe on a function of Go.
    GoCallStart {
        /// The goroutine.
        goid: u64,
        /// What it does.
        call: GoCalled,
        /// The host, the program, or the toolchain, as far as it could be read.
        about: String,
    },
    /// That is over: the function returned.
    GoCallEnd {
        /// The goroutine.
        goid: u64,
        /// What it did.
        call: GoCalled,
        /// As at its start.
        about: String,
        /// Whether it returned an error.
        failed: bool,
    },
    /// A read(2) on a socket, seen with `--exact-reads`, in a window, or by an event backend.
    Read {
        /// The descriptor.
        fd: Fd,
        /// The socket.
        socket: Option<Inode>,
        /// Bytes, or none with `error`.
        bytes: Option<u64>,
        /// The error's name.
        error: Option<String>,
    },
    /// A lock was asked for: flock(2) without LOCK_UN, fcntl(2) F_SETLKW or F_OFD_SETLKW.
    LockRequest {
        /// The descriptor.
        fd: Fd,
        /// What it names, from `/proc/PID/fd`.
        path: String,
        /// flock, posix or ofd.
        kind: LockKind,
        /// Shared or exclusive.
        mode: LockMode,
    },
    /// A lock request is over.
    LockEnd {
        /// The descriptor.
        fd: Fd,
        /// What it names.
        path: String,
        /// `ok`, or the error's name, `killed` where the thread ended in the call; none when only the end was seen (the thread
        /// went on).
        result: Option<String>,
        /// How the end is known.
        known_by: KnownBy,
    },
    /// A write to standard error or output.
    Output {
        /// 1 or 2.
        fd: Fd,
        /// To standard error: the lines that it completed, at most a few KiB, credentials removed, not yet escaped; a line that
        /// stays unfinished comes a little later. To standard output, which is data: nothing.
        text: String,
        /// Whether more was written than is kept here.
        #[serde(default)]
        truncated: bool,
        /// Whether what was written ends with the end of a line.
        #[serde(default)]
        ends_line: bool,
    },
    /// A signal arrived that ends or stops a process, or that was sent by another process.
    Signal {
        /// As `SIGTERM`.
        signal: String,
        /// Who sent it: kill(2), the kernel, a terminal.
        sender: SignalSender,
    },
    /// The process was stopped by this signal (group-stop).
    Stopped {
        /// As `SIGTSTP`.
        signal: String,
    },
    /// The process runs again.
    Continued,
    /// A system call of an ABI that the filter cannot read (i386 or x32 on x86_64).
    ForeignSyscall {
        /// `i386`, `x32`, ...
        abi: String,
        /// The call's number in that ABI.
        nr: u64,
    },
    /// A TCP connection was destroyed: its last counters, from SKNLGRP_INET_TCP_DESTROY. Exact.
    TcpClosed(TcpSample),
    /// Counters that changed since the last sample.
    Sample(Sample),
    /// The settings a go command has.
    GoSettings(Box<GoSettings>),
    /// What the goroutines of a go command work on now.
    GoWork {
        /// Each goroutine that works on a module, at most 256.
        items: Vec<GoWork>,
    },
    /// What runs in a Go program that uses a CPU and does nothing else.
    GoRunning(Box<GoRunning>),
    /// What is true now.
    Snapshot(Box<Snapshot>),
    /// Something that was not seen.
    Lost {
        /// What: `child`, `event`, ...
        what: String,
        /// How many.
        count: u64,
        /// Why.
        why: String,
    },
    /// gmtrace did not run until now, when it should have: the machine stood still, or others had its CPUs. What did not move meanwhile
    /// proves nothing.
    Lapse {
        /// For how long, in nanoseconds.
        ns: Nanos,
    },
    /// A sentence for the report that nothing is concluded from.
    Note {
        /// The sentence.
        text: String,
    },
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

/// A program that began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exec {
    /// `/proc/PID/exe`.
    pub exe: String,
    /// Its words: go, git and ssh redacted, of others the first alone.
    pub argv: Vec<String>,
    /// Its working directory.
    #[serde(default)]
    pub cwd: String,
    /// What kind of program.
    pub role: ProcessRole,
    /// Whether it is Go's telemetry child, which nobody waits for.
    #[serde(default)]
    pub telemetry: bool,
}

/// What kind of program a process runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessRole {
    /// The go command.
    Go,
    /// git, or one of its programs (git-remote-https, ...).
    Git,
    /// ssh.
    Ssh,
    /// A credential helper, a GOAUTH command, a GOCACHEPROG.
    Helper,
    /// Anything else.
    #[default]
    Other,
}

/// What carries a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Stream over IP.
    Tcp,
    /// Datagrams over IP.
    Udp,
    /// A unix socket.
    Unix,
    /// Anything else.
    Other,
}

/// Who resolves names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResolverKind {
    /// Go's own resolver.
    Go,
    /// libc's getaddrinfo.
    Libc,
}

/// What came back first on a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsReply {
    /// The handshake goes on.
    ServerHello,
    /// The server refused, with this description (RFC 8446, 6.2).
    Alert(String),
    /// No TLS at all: what it looks like.
    NotTls(String),
    /// The connection ended instead: `EOF` or the error's name.
    Closed(String),
}

/// Which system call locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LockKind {
    /// flock(2).
    Flock,
    /// fcntl(2) F_SETLKW.
    Posix,
    /// fcntl(2) F_OFD_SETLKW.
    Ofd,
}

/// How a file is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LockMode {
    /// LOCK_SH, F_RDLCK.
    Shared,
    /// LOCK_EX, F_WRLCK.
    Exclusive,
}

/// How the end of something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KnownBy {
    /// The call's own return was seen.
    Return,
    /// The thread did something later: an upper bound.
    Later,
    /// A reading of `/proc` found the thread elsewhere: right to within a tick.
    Sampled,
}

/// Who sent a signal (sigaction(2), `si_code`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignalSender {
    /// The kernel: a terminal, a fault, a timer.
    Kernel,
    /// This process, by kill(2), tgkill(2) or sigqueue(3); 0 where it lives in another pid namespace.
    Process {
        /// Its id.
        pid: Pid,
        /// Its user.
        uid: u32,
    },
    /// Not known.
    Unknown,
}
