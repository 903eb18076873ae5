//! Seeing what is written first on a connection, although write(2) is not trapped.
//!
//! The filter cannot single out the write that follows a connect. So for a moment all threads of the process stop at every
//! system call: in Go the goroutine often goes on on another thread (one thread alone missed half of the
//! request lines, all threads none). The thread that connected is held until the others have been reached.

use super::engine::{Engine, Next};
use super::memory::{self, MMSGHDR};
use super::process::{Calling, Into, Purpose};
use super::program;
use super::sockets::PAYLOAD;
use super::tracee::{self, Entry, Stopped, Until};
use super::trap::fd;
use crate::capture::messages;
use gmtrace_core::event::{ResolverKind, What};
use gmtrace_core::units::{Fd, Inode, Nanos, Pid, Tid};
use libc::c_long;

/// How long a window is open at most: a connection that Go dials and never uses would cost thousands of stops.
const OPEN: Nanos = Nanos::from_millis(50);
/// How long a thread is held at most: another may sit where no interruption reaches it (a vfork(2) parent, a dead mount).
const HELD: Nanos = Nanos::from_millis(10);
/// How often open windows are looked after.
pub(super) const TICK: Nanos = Nanos::from_millis(10);
/// Descriptors that are watched at a time.
const WATCHED: usize = 64;

/// The descriptors of a process whose next bytes are awaited.
#[derive(Debug, Default)]
pub(super) struct Window {
    watched: Vec<Watched>,
    /// Threads that were interrupted and have not stopped yet.
    awaited: Vec<Tid>,
    held: Vec<(Stopped, Nanos)>,
}

#[derive(Debug)]
struct Watched {
    fd: Fd,
    socket: Inode,
    expect: Expect,
    until: Nanos,
    /// The one thread that will write; none: any of the process.
    only: Option<Tid>,
}

/// What is awaited on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// A DNS question: over TCP two bytes of length come first (RFC 1035, 4.2.2).
    Question {
        /// Whether it is TCP.
        stream: bool,
    },
    /// A ClientHello, or a plain HTTP request.
    FirstWrite,
    /// The answer to a plain HTTP request.
    Reply,
    /// The answer of a web proxy to CONNECT, after which a first write comes.
    ProxyReply,
}

impl Window {
    /// Whether a thread is to stop at each system call.
    pub(super) fn covers(&self, tid: Tid) -> bool {
        self.watched.iter().any(|watched| watched.only.is_none_or(|only| only == tid))
    }
}

impl IntoIterator for Window {
    type Item = Stopped;
    type IntoIter =
        std::iter::Map<std::vec::IntoIter<(Stopped, Nanos)>, fn((Stopped, Nanos)) -> Stopped>;

    /// The threads that are held.
    fn into_iter(self) -> Self::IntoIter {
        self.held.into_iter().map(|(thread, _)| thread)
    }
}

impl Engine {
    /// Opens a window for a descriptor. The thread is at the exit of the call that connected it.
    pub(super) fn open_window(
        &mut self,
        thread: &Stopped,
        fd: Fd,
        socket: Inode,
        expect: Expect,
    ) -> Next {
        let tid = thread.id();
        let Some(pid) = self.pid_of(thread) else { return Next::Run };
        let go = self.is_go(pid, thread);
        let now = self.clock.now();
        let Some(process) = self.processes.get_mut(&pid) else { return Next::Run };
        let window = process.window.get_or_insert_default();
        window.watched.retain(|watched| watched.fd != fd);
        if window.watched.len() >= WATCHED {
            return Next::Run;
        }
        // A C program writes on the thread that connected; interrupting its others could end their epoll_wait(2) with EINTR
        // (signal(7)), which Go expects and others may not.
        let only = (!go).then_some(tid);
        window.watched.push(Watched { fd, socket, expect, until: now.plus(OPEN), only });
        if !self.windows.contains(&pid) {
            self.windows.push(pid);
        }
        self.set_alarm();
        if go { self.reach_others(pid, tid) } else { Next::Run }
    }

    /// Makes all other threads of a process stop once, so that they run from system call to system call from there.
    fn reach_others(&mut self, pid: Pid, tid: Tid) -> Next {
        let Some(process) = self.processes.get_mut(&pid) else { return Next::Run };
        let Some(window) = process.window.as_mut() else { return Next::Run };
        for other in process.threads.iter().filter(|other| **other != tid) {
            let free =
                self.threads.get(other).is_some_and(|thread| !thread.stepping && !thread.listening);
            let held = window.held.iter().any(|(thread, _)| thread.id() == *other);
            if free && !held && !window.awaited.contains(other) && tracee::interrupt(*other).is_ok()
            {
                window.awaited.push(*other);
            }
        }
        if window.awaited.is_empty() { Next::Run } else { Next::Hold }
    }

    /// Whether a process runs a Go program, found out once.
    fn is_go(&mut self, pid: Pid, thread: &Stopped) -> bool {
        let Some(process) = self.processes.get_mut(&pid) else { return false };
        *process.go.get_or_insert_with(|| program::is_go(thread.tid()))
    }

    fn window_of(&mut self, tid: Tid) -> Option<&mut Window> {
        let pid = self.threads.get(&tid)?.pid;
        self.processes.get_mut(&pid)?.window.as_mut()
    }

    /// A thread has stopped, or ended: it is awaited no more, and if it was held, it is no more (SIGKILL ends a stop).
    pub(super) fn arrived(&mut self, tid: Tid) {
        if self.windows.is_empty() {
            return;
        }
        if let Some(window) = self.window_of(tid) {
            window.awaited.retain(|awaited| *awaited != tid);
            window.held.retain(|(thread, _)| thread.id() != tid);
        }
    }

    pub(super) fn hold(&mut self, thread: Stopped) {
        let now = self.clock.now();
        match self.window_of(thread.id()) {
            Some(window) => window.held.push((thread, now)),
            None => _ = thread.resume(Until::Stop, 0),
        }
    }

    /// Lets go on who was held, once the last of the others of its process has been reached.
    pub(super) fn release(&mut self, tid: Tid) {
        if let Some(pid) = self.threads.get(&tid).map(|thread| thread.pid) {
            self.release_process(pid);
        }
    }

    pub(super) fn release_process(&mut self, pid: Pid) {
        let process = self.processes.get_mut(&pid);
        let Some(window) = process.and_then(|process| process.window.as_mut()) else { return };
        if window.awaited.is_empty() && !window.held.is_empty() {
            let held = std::mem::take(&mut window.held);
            self.let_go(held.into_iter().map(|(thread, _)| thread).collect());
        }
    }

    fn let_go(&mut self, held: Vec<Stopped>) {
        for thread in held {
            self.go_on(thread, Next::Run);
        }
    }

    /// Closes what has been open too long, and lets go on who has been held too long.
    pub(super) fn close_old_windows(&mut self, now: Nanos) {
        for pid in std::mem::take(&mut self.windows) {
            let Some(process) = self.processes.get_mut(&pid) else { continue };
            let Some(window) = process.window.as_mut() else { continue };
            window.watched.retain(|watched| now < watched.until);
            let closed = window.watched.is_empty();
            let overdue = |held: &(Stopped, Nanos)| closed || now.since(held.1) >= HELD;
            let (late, held) = std::mem::take(&mut window.held).into_iter().partition(overdue);
            window.held = held;
            if closed {
                process.window = None;
            } else {
                self.windows.push(pid);
            }
            self.let_go(late.into_iter().map(|(thread, _): (Stopped, Nanos)| thread).collect());
        }
    }

    /// The entry of any system call of a thread in a window.
    pub(super) fn entered(&mut self, thread: &Stopped, entry: &Entry) -> Next {
        let tid = thread.id();
        let restarting = self.threads.get(&tid).and_then(|state| state.call.as_ref());
        if !restarting.is_some_and(|call| call.interrupted && call.entry == *entry) {
            self.previous_call_is_over(tid);
        }
        let [target, ..] = entry.args;
        let target = fd(target);
        let Some(window) = self.window_of(tid) else { return Next::Run };
        let covers = |watched: &&Watched| {
            watched.fd == target && watched.only.is_none_or(|only| only == tid)
        };
        let Some(watched) = window.watched.iter().find(covers) else { return Next::Run };
        let (socket, expect) = (watched.socket, watched.expect);
        match entry.nr as c_long {
            libc::SYS_close => self.unwatch(thread, target),
            libc::SYS_read | libc::SYS_recvfrom => {
                self.reply_awaited(thread, entry, socket, expect)
            }
            _ => self.written(thread, entry, socket, expect),
        }
        Next::Run
    }

    fn unwatch(&mut self, thread: &Stopped, fd: Fd) {
        if let Some(window) = self.window_of(thread.id()) {
            window.watched.retain(|watched| watched.fd != fd);
        }
    }

    fn reply_awaited(&mut self, thread: &Stopped, entry: &Entry, socket: Inode, expect: Expect) {
        if matches!(expect, Expect::Reply | Expect::ProxyReply) {
            let [target, buffer, ..] = entry.args;
            let (fd, into) = (fd(target), Into::Buffer(buffer));
            let what = Calling::Receive { fd, socket, into, purpose: Purpose::Http };
            self.await_end(thread, *entry, what, true);
        }
    }

    /// The answer to a request has come: that of a proxy that accepts is followed by a ClientHello.
    pub(super) fn reply_seen(&mut self, thread: &Stopped, fd: Fd, accepted: bool) {
        let until = self.clock.now().plus(OPEN);
        let Some(window) = self.window_of(thread.id()) else { return };
        let Some(watched) = window.watched.iter_mut().find(|watched| watched.fd == fd) else {
            return;
        };
        if accepted && watched.expect == Expect::ProxyReply {
            watched.expect = Expect::FirstWrite;
            watched.until = until;
        } else {
            self.unwatch(thread, fd);
        }
    }

    /// If this call writes: what it writes first on a watched descriptor.
    fn written(&mut self, thread: &Stopped, entry: &Entry, socket: Inode, expect: Expect) {
        let messages = outgoing(thread.tid(), entry);
        let Some(first) = messages.first().filter(|first| !first.is_empty()) else { return };
        let [target, ..] = entry.args;
        match expect {
            Expect::Question { stream } => {
                self.unwatch(thread, fd(target));
                for message in &messages {
                    self.asked(thread, fd(target), socket, message, stream);
                }
            }
            Expect::FirstWrite => self.first_write(thread, fd(target), socket, first),
            Expect::Reply | Expect::ProxyReply => {}
        }
    }

    fn asked(&mut self, thread: &Stopped, fd: Fd, socket: Inode, message: &[u8], stream: bool) {
        let Some(pid) = self.pid_of(thread) else { return };
        let Some(process) = self.processes.get(&pid) else { return };
        let by_libc = process.getaddrinfo || process.go != Some(true);
        let via = if by_libc { ResolverKind::Libc } else { ResolverKind::Go };
        let server = process.sockets.peer(fd);
        if let Some(told) = messages::dns_question(socket, server, message, stream, via) {
            self.tell(pid, thread.id(), told);
        }
    }

    fn first_write(&mut self, thread: &Stopped, fd: Fd, socket: Inode, bytes: &[u8]) {
        let Some(pid) = self.pid_of(thread) else { return };
        let what = messages::first_write(socket, bytes);
        match &what {
            Some(What::HttpRequest { method, .. }) => {
                self.expect_reply(thread, fd, method == "CONNECT");
            }
            _ => self.unwatch(thread, fd),
        }
        if let Some(what) = what {
            self.tell(pid, thread.id(), what);
        }
    }

    /// After CONNECT the window is open as long again: the proxy's answer and the ClientHello behind it are worth it. The
    /// answer to a plain request is seen only if it comes within the same window.
    fn expect_reply(&mut self, thread: &Stopped, fd: Fd, tunnel: bool) {
        let now = self.clock.now();
        let Some(window) = self.window_of(thread.id()) else { return };
        let Some(watched) = window.watched.iter_mut().find(|watched| watched.fd == fd) else {
            return;
        };
        watched.expect = if tunnel { Expect::ProxyReply } else { Expect::Reply };
        if tunnel {
            watched.until = now.plus(OPEN);
        }
    }
}

/// The messages that a call is about to write; none if it does not write.
fn outgoing(tid: i32, entry: &Entry) -> Vec<Vec<u8>> {
    let [_, data, size, ..] = entry.args;
    match entry.nr as c_long {
        libc::SYS_write | libc::SYS_sendto => {
            vec![memory::read(tid, data, usize::try_from(size).unwrap_or(0).min(PAYLOAD))]
        }
        libc::SYS_writev => vec![memory::gather(tid, data, size, PAYLOAD)],
        libc::SYS_sendmsg => vec![memory::message(tid, data, PAYLOAD)],
        libc::SYS_sendmmsg => (0..u64::from(size as u32).min(8))
            .map(|index| memory::message(tid, data.wrapping_add(index * MMSGHDR), PAYLOAD))
            .collect(),
        _ => Vec::new(),
    }
}
