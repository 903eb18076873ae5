//! What a process sits in: the system call that tells most, what it is on, and both in words.

use super::far::{self, Far};
use super::scene::Scene;
use crate::event::{
    Access, Descriptor, DescriptorTarget, ProcessState, Socket, ThreadState, WaitsIn,
};
use crate::text;
use crate::units::{Fd, Tid};

/// A thread in a system call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sits<'a> {
    /// The thread.
    pub(super) tid: Tid,
    /// The call's name.
    pub(super) call: &'a str,
    waits_in: WaitsIn,
    /// What it is on, where the call names one descriptor.
    pub(super) on: Option<&'a Descriptor>,
    thread: &'a ThreadState,
}

/// The thread whose system call tells most about what `process` waits for.
pub(super) fn of(process: &ProcessState) -> Option<Sits<'_>> {
    let each = process.threads.iter().filter_map(|thread| {
        let call = thread.syscall.as_ref()?;
        let on = call.descriptor().and_then(|fd| descriptor(process, fd));
        Some(Sits { tid: thread.tid, call: &call.name, waits_in: call.waits_in(), on, thread })
    });
    each.min_by_key(|sits| sits.waits_in)
}

/// Whether a thread of `process` runs, or would if it had a CPU: then what its others sit in is not what is waited for. The state of a
/// process is that of its first thread alone.
pub(super) fn runs(process: &ProcessState) -> bool {
    process.state == 'R' || process.threads.iter().any(|thread| thread.state == 'R')
}

/// The thread of `process` that reads a terminal, and which.
pub(super) fn reads_terminal(process: &ProcessState) -> Option<(Sits<'_>, String)> {
    process.threads.iter().find_map(|thread| {
        let call = thread.syscall.as_ref().filter(|call| call.waits_in() == WaitsIn::Read)?;
        let on = descriptor(process, call.descriptor()?)?;
        let DescriptorTarget::Tty(name) = &on.target else { return None };
        // `/dev/tty` is whichever terminal controls the process.
        let name = match name.as_str() {
            "tty" => process.tty.clone().unwrap_or_else(|| name.clone()),
            _ => name.clone(),
        };
        let waits_in = WaitsIn::Read;
        Some((Sits { tid: thread.tid, call: &call.name, waits_in, on: Some(on), thread }, name))
    })
}

fn descriptor(process: &ProcessState, fd: Fd) -> Option<&Descriptor> {
    process.descriptors.iter().find(|d| d.fd == fd)
}

impl Sits<'_> {
    /// The descriptor's number.
    pub(super) fn fd(&self) -> Option<Fd> {
        self.on.map(|d| d.fd)
    }

    /// Whether it waits for any of several things, or for another thread: one that has nothing to do sits there too.
    pub(super) fn is_open_ended(&self) -> bool {
        matches!(self.waits_in, WaitsIn::Watch | WaitsIn::Thread)
    }

    /// Whether it waits for a child. Of a process without children, the one that it waited for has just ended.
    pub(super) fn is_for_child(&self) -> bool {
        self.waits_in == WaitsIn::Child
    }

    /// ` (kernel: FUNCTION)`, where that may be read.
    pub(super) fn in_kernel(&self) -> String {
        self.thread.wchan.as_ref().map(|w| format!(" (kernel: {w})")).unwrap_or_default()
    }

    /// `reads a pipe that sh (pid 12) has the other end of`.
    pub(super) fn words(&self, scene: &Scene<'_>, process: &ProcessState) -> String {
        match (self.waits_in, self.on) {
            (WaitsIn::Read, Some(d)) => format!("reads {}", what(scene, process, d)),
            (WaitsIn::Write, Some(d)) => format!("writes to {}", what(scene, process, d)),
            (WaitsIn::Connect, Some(d)) => format!("connects {}", what(scene, process, d)),
            (WaitsIn::Lock, Some(d)) => format!("waits for a lock on {}", what(scene, process, d)),
            (WaitsIn::Child, _) => "waits for a child to end".to_owned(),
            (WaitsIn::Sleep, _) => "sleeps for a set time".to_owned(),
            (WaitsIn::Signal, _) => "waits for a signal".to_owned(),
            (WaitsIn::Watch, _) => "waits for any of several things".to_owned(),
            (WaitsIn::Thread, _) => "waits for another of its threads".to_owned(),
            _ => format!("sits in {}", self.call),
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
