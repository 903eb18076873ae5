//! What the engine remembers of processes and threads.

use super::locks::Mounts;
use super::sockets::Sockets;
use super::tracee::Entry;
use super::window::Window;
use crate::capture::said::Said;
use gmtrace_core::event::Transport;
use gmtrace_core::units::{Fd, Inode, Pid, Tid};
use std::collections::HashMap;
use std::rc::Rc;

/// A process.
#[derive(Debug)]
pub(super) struct Process {
    /// Whether events of it are told (`--no-children` watches the command alone).
    pub told: bool,
    /// Its id in its own pid namespace, where that is another: the ids it sees are not ours then.
    pub ns_pid: Option<Pid>,
    /// Its threads.
    pub threads: Vec<Tid>,
    /// Whether it is a Go program; not looked up yet.
    pub go: Option<bool>,
    /// Whether libc's getaddrinfo has begun a look-up in it.
    pub getaddrinfo: bool,
    /// What it has begun to say on standard error.
    pub said: Said,
    /// The sockets it connected.
    pub sockets: Sockets,
    /// What is being waited for with all threads stopping at each system call.
    pub window: Option<Window>,
    /// The signal that stopped it, while it is stopped.
    pub stopped: Option<i32>,
    /// Its mounts, shared with its parent.
    pub mounts: Option<Rc<Mounts>>,
    /// Foreign system calls told so far.
    pub foreign: Vec<u64>,
    /// Signals looked into so far, so that a storm is not.
    pub signals: u32,
}

impl Process {
    /// A process that has just begun.
    pub(super) fn new(told: bool, ns_pid: Option<Pid>) -> Process {
        Process {
            told,
            ns_pid,
            threads: Vec::new(),
            go: None,
            getaddrinfo: false,
            said: Said::default(),
            sockets: Sockets::default(),
            window: None,
            stopped: None,
            mounts: None,
            foreign: Vec::new(),
            signals: 0,
        }
    }

    /// Forgets what execve(2) ends.
    pub(super) fn became_another_program(&mut self) {
        self.go = None;
        self.getaddrinfo = false;
        self.window = None;
        self.foreign.clear();
    }
}

/// A thread.
#[derive(Debug)]
pub(super) struct Thread {
    /// Its process.
    pub pid: Pid,
    /// The trapped call it is in, as far as its end matters.
    pub call: Option<InCall>,
    /// It was last let run to its next system call only.
    pub stepping: bool,
    /// It was left in a group-stop.
    pub listening: bool,
    /// It has asked nscd, and will again at once.
    pub asked_nscd: bool,
}

impl Thread {
    /// A thread that has just begun.
    pub(super) fn new(pid: Pid) -> Thread {
        Thread { pid, call: None, stepping: false, listening: false, asked_nscd: false }
    }
}

/// A trapped call whose end matters.
#[derive(Debug)]
pub(super) struct InCall {
    /// As it was entered.
    pub entry: Entry,
    /// What it is.
    pub what: Calling,
    /// Its exit is to be stopped at.
    pub until_exit: bool,
    /// A signal or stop has interrupted it: the same call that comes next is its restart (signal(7), "Interruption of system
    /// calls").
    pub interrupted: bool,
}

/// The calls whose ends matter.
#[derive(Debug)]
pub(super) enum Calling {
    /// connect(2).
    Connect {
        /// The descriptor.
        fd: Fd,
    },
    /// getsockopt(2) of SO_ERROR.
    SocketError {
        /// The descriptor.
        fd: Fd,
        /// Where the answer goes.
        value: u64,
    },
    /// A receive of a datagram, or a read, on a known socket.
    Receive {
        /// The descriptor.
        fd: Fd,
        /// Its inode.
        socket: Inode,
        /// Where the bytes go.
        into: Into,
        /// Who reads.
        purpose: Purpose,
    },
    /// clone(2) of a child that was to be hidden.
    Clone,
    /// A lock.
    Lock {
        /// Its number among the pending ones.
        id: u64,
        /// The mount that its file is on.
        mount: Option<u64>,
    },
}

/// Where a received message goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Into {
    /// A buffer.
    Buffer(u64),
    /// A `struct msghdr`.
    Message(u64),
    /// An array of `struct mmsghdr`.
    Messages(u64),
}

/// What a receive can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An answer of a resolver.
    Dns,
    /// The first bytes of a TLS server.
    Tls,
    /// The answer of a web proxy to CONNECT, or of a plain HTTP server.
    Http,
    /// The number of bytes alone (`--exact-reads`).
    Count,
}

/// What is known of a connected socket.
#[derive(Debug, Clone)]
pub(super) struct Socket {
    /// Its inode, to tell it from a later one with the same descriptor.
    pub inode: Inode,
    /// What carries it.
    pub transport: Transport,
    /// Whom it was connected to.
    pub peer: gmtrace_core::decode::sockaddr::Address,
    /// connect(2) has returned EINPROGRESS and its end was not seen yet.
    pub connecting: bool,
    /// Nothing has been read from it by a TLS client yet.
    pub awaits_tls: bool,
}

impl Socket {
    /// Whether this is a resolver's socket (port 53).
    pub(super) fn is_resolver(&self) -> bool {
        matches!(&self.peer, gmtrace_core::decode::sockaddr::Address::Inet(peer) if peer.port() == 53)
    }
}

/// Threads by id.
pub(super) type Threads = HashMap<Tid, Thread>;
/// Processes by id.
pub(super) type Processes = HashMap<Pid, Process>;
