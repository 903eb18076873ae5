//! What a process sits in: the system call that tells most, what it is on, and both in words.

use super::far::{self, Far};
use super::scene::Scene;
use crate::event::{Access, Descriptor, DescriptorTarget, ProcessState, Socket, ThreadState};
use crate::text;
use crate::units::{Fd, Tid};

/// Calls that wait for what one descriptor gives or takes.
const READS: &[&str] = &["read", "readv", "recvfrom", "recvmsg", "recvmmsg"];
const WRITES: &[&str] = &["write", "writev", "sendto", "sendmsg", "sendmmsg", "splice"];
/// Calls that wait for any of several descriptors.
const WATCHES: &[&str] =
    &["poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"];
const SLEEPS: &[&str] = &["nanosleep", "clock_nanosleep"];
const CHILDREN: &[&str] = &["wait4", "waitid"];
const LOCKS: &[&str] = &["flock", "fcntl"];
const SIGNALS: &[&str] = &["pause", "rt_sigsuspend", "rt_sigtimedwait"];

/// A thread in a system call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sits<'a> {
    /// The thread.
    pub(super) tid: Tid,
    /// The call's name.
    pub(super) call: &'a str,
    /// What it is on, where the call names one descriptor.
    pub(super) on: Option<&'a Descriptor>,
    thread: &'a ThreadState,
}

/// The thread whose system call tells most about what `process` waits for.
pub(super) fn of(process: &ProcessState) -> Option<Sits<'_>> {
    let each = process.threads.iter().filter_map(|thread| {
        let call = thread.syscall.as_ref()?;
        let name = call.name.as_str();
        let names_one = [READS, WRITES, LOCKS, &["connect"]].iter().any(|c| c.contains(&name));
        let [first, ..] = call.args;
        let on = names_one.then(|| descriptor(process, first)).flatten();
        Some(Sits { tid: thread.tid, call: name, on, thread })
    });
    each.min_by_key(|sits| weight(sits.call))
}

/// The thread of `process` that reads a terminal, and which.
pub(super) fn reads_terminal(process: &ProcessState) -> Option<(Sits<'_>, String)> {
    process.threads.iter().find_map(|thread| {
        let call = thread.syscall.as_ref().filter(|c| READS.contains(&c.name.as_str()))?;
        let [first, ..] = call.args;
        let on = descriptor(process, first)?;
        let DescriptorTarget::Tty(name) = &on.target else { return None };
        // `/dev/tty` is whichever terminal controls the process.
        let name = match name.as_str() {
            "tty" => process.tty.clone().unwrap_or_else(|| name.clone()),
            _ => name.clone(),
        };
        Some((Sits { tid: thread.tid, call: &call.name, on: Some(on), thread }, name))
    })
}

fn descriptor(process: &ProcessState, register: u64) -> Option<&Descriptor> {
    let fd = Fd(i32::try_from(register & 0xffff_ffff).ok()?);
    process.descriptors.iter().find(|d| d.fd == fd)
}

/// What says which one thing is waited for comes first; what says nothing, last.
fn weight(call: &str) -> u8 {
    let known = [READS, WRITES, LOCKS, CHILDREN, SLEEPS, SIGNALS, WATCHES];
    match known.iter().position(|calls| calls.contains(&call)) {
        Some(n) => u8::try_from(n).unwrap_or(u8::MAX),
        None if call == "futex" => u8::MAX,
        None => 6,
    }
}

impl Sits<'_> {
    /// The descriptor's number.
    pub(super) fn fd(&self) -> Option<Fd> {
        self.on.map(|d| d.fd)
    }

    /// Whether it waits for any of several things, or for another thread: one that has nothing to do sits there too.
    pub(super) fn is_open_ended(&self) -> bool {
        WATCHES.contains(&self.call) || self.call == "futex"
    }

    /// ` (kernel: FUNCTION)`, where that may be read.
    pub(super) fn in_kernel(&self) -> String {
        self.thread.wchan.as_ref().map(|w| format!(" (kernel: {w})")).unwrap_or_default()
    }

    /// `reads a pipe that sh (pid 12) has the other end of`.
    pub(super) fn words(&self, scene: &Scene<'_>, process: &ProcessState) -> String {
        match (self.call, self.on) {
            (call, Some(d)) if READS.contains(&call) => {
                format!("reads {}", what(scene, process, d))
            }
            (call, Some(d)) if WRITES.contains(&call) => {
                format!("writes to {}", what(scene, process, d))
            }
            ("connect", Some(d)) => format!("connects {}", what(scene, process, d)),
            (call, Some(d)) if LOCKS.contains(&call) => {
                format!("waits for a lock on {}", what(scene, process, d))
            }
            (call, _) if CHILDREN.contains(&call) => "waits for a child to end".to_owned(),
            (call, _) if SLEEPS.contains(&call) => "sleeps for a set time".to_owned(),
            (call, _) if SIGNALS.contains(&call) => "waits for a signal".to_owned(),
            (call, _) if WATCHES.contains(&call) => "waits for any of several things".to_owned(),
            ("futex", _) => "waits for another of its threads".to_owned(),
            (call, _) => format!("sits in {call}"),
        }
    }
}

fn what(scene: &Scene<'_>, process: &ProcessState, d: &Descriptor) -> String {
    let ends = far::of(scene, process, d);
    let whose = || {
        let names: Vec<String> = ends.iter().take(2).map(|f: &Far| scene.command(f.pid)).collect();
        text::list(&names)
    };
    match &d.target {
        DescriptorTarget::Tty(name) => format!("terminal {name}"),
        DescriptorTarget::File(path) => path.clone(),
        DescriptorTarget::Anon(kind) => kind.clone(),
        DescriptorTarget::Pipe(_) if ends.is_empty() => "a pipe".to_owned(),
        DescriptorTarget::Pipe(_) if d.access == Some(Access::Write) => {
            format!("a pipe that {} should read", whose())
        }
        DescriptorTarget::Pipe(_) => format!("a pipe that {} should write to", whose()),
        DescriptorTarget::Socket(inode) => {
            let socket = scene.session.socket(*inode);
            match (socket.and_then(|s: &Socket| s.peer), ends.is_empty()) {
                (Some(peer), _) => format!("a connection to {peer}"),
                (None, false) => format!("a socket to {}", whose()),
                (None, true) => "a socket".to_owned(),
            }
        }
    }
}
