//! What a thread does at the entry and at the exit of a system call.

use super::arch;
use super::engine::{Engine, Next};
use super::memory;
use super::process::{Calling, InCall};
use super::seccomp::FOREIGN;
use super::tracee::{Entry, Gone, Stopped};
use crate::capture::said::{KEPT, STDERR};
use gmtrace_core::event::{KnownBy, What};
use gmtrace_core::units::{Fd, Tid};
use libc::c_long;
use nix::errno::Errno;

/// Foreign system calls that are told of one process.
const FOREIGN_TOLD: usize = 64;

/// The name of the error in a system call's result: `ECONNREFUSED`. `None` for success.
pub(super) fn error_name(result: i64) -> Option<String> {
    (result < 0).then(|| format!("{:?}", Errno::from_raw(i32::try_from(-result).unwrap_or(0))))
}

/// The descriptor in an argument: an int.
pub(super) fn fd(argument: u64) -> Fd {
    Fd(argument as i32)
}

/// The result of a lock request whose thread was killed while it waited.
pub(super) const KILLED: &str = "killed";

impl Engine {
    /// The filter trapped a system call: the thread is at its entry.
    pub(super) fn trapped(
        &mut self,
        thread: &Stopped,
        entry: Entry,
        data: u16,
    ) -> Result<Next, Gone> {
        if data == FOREIGN {
            self.foreign(thread, &entry);
            return Ok(Next::Run);
        }
        if self.is_restart(thread.id(), &entry) {
            return Ok(Next::Run);
        }
        self.previous_call_is_over(thread.id());
        match entry.nr as c_long {
            libc::SYS_write | libc::SYS_writev => self.output(thread, &entry),
            libc::SYS_clone => self.clone_untraced(thread, entry),
            _ if !self.pid_of(thread).is_some_and(|pid| self.is_told(pid)) => {}
            libc::SYS_connect => self.connect(thread, entry),
            libc::SYS_flock => self.flock(thread, entry),
            libc::SYS_fcntl => self.record_lock(thread, entry),
            libc::SYS_getsockopt => self.socket_error(thread, entry),
            libc::SYS_read => self.read(thread, entry),
            libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_recvmmsg => {
                self.receive(thread, entry)
            }
            _ => {}
        }
        Ok(Next::Run)
    }

    /// At the exit of a system call: of one whose result matters, or of any in a window.
    pub(super) fn left(&mut self, thread: &Stopped, result: i64) -> Next {
        let state = self.threads.get_mut(&thread.id());
        let Some(call) = state.and_then(|state| state.call.as_mut()) else { return Next::Run };
        if arch::is_restart(result) {
            call.interrupted = true;
            return Next::Run;
        }
        match self.take_call(thread.id()) {
            Some(call) => self.finished(thread, call, result),
            None => Next::Run,
        }
    }

    fn finished(&mut self, thread: &Stopped, call: InCall, result: i64) -> Next {
        match call.what {
            Calling::Connect { fd } => self.connected(thread, fd, result),
            Calling::SocketError { fd, value } => self.socket_error_told(thread, fd, value, result),
            Calling::Receive { fd, socket, into, purpose } => {
                self.received(thread, (fd, socket), into, purpose, result)
            }
            Calling::Lock { id, mount } => {
                self.lock_decided(id, mount, result);
                Next::Run
            }
            Calling::Clone => {
                self.cloned(thread);
                Next::Run
            }
        }
    }

    /// A signal or stop meets a thread. If it sits in a call whose end matters, that call is not over: it is started again, or
    /// returns EINTR. If it does not, the call ended before.
    pub(super) fn interrupted(&mut self, thread: &Stopped) {
        let Some(state) = self.threads.get_mut(&thread.id()) else { return };
        let Some(call) = state.call.as_mut().filter(|call| !call.until_exit) else { return };
        if arch::is_interrupted_in(thread, call.entry.nr as c_long) {
            call.interrupted = true;
        } else {
            self.previous_call_is_over(thread.id());
        }
    }

    /// Whether this is the call that was interrupted, started again. Its events have been told.
    pub(super) fn is_restart(&mut self, tid: Tid, entry: &Entry) -> bool {
        let call = self.threads.get_mut(&tid).and_then(|thread| thread.call.as_mut());
        let Some(call) = call.filter(|call| call.interrupted && call.entry == *entry) else {
            return false;
        };
        call.interrupted = false;
        true
    }

    /// The thread is at another call, so the one before has ended, when exactly was not seen. One that a signal had met and that
    /// was not started again gave EINTR (signal(7)).
    pub(super) fn previous_call_is_over(&mut self, tid: Tid) {
        if let Some(call) = self.take_call(tid) {
            let interrupted = call.interrupted.then_some("EINTR");
            self.abandon(call, interrupted);
        }
    }

    /// A thread is about to end: by itself, after its call, or killed in the middle of it, and then nothing was obtained.
    pub(super) fn ends(&mut self, thread: &Stopped) {
        if let Some(call) = self.take_call(thread.id()) {
            let killed = arch::is_killed_in(thread, call.entry.nr as c_long);
            self.abandon(call, killed.then_some(KILLED));
        }
        self.last_counters(thread);
    }

    fn take_call(&mut self, tid: Tid) -> Option<InCall> {
        self.threads.get_mut(&tid)?.call.take()
    }

    /// A call is over, and its result was not seen. Only locks are told so: their end is what others wait for.
    pub(super) fn abandon(&mut self, call: InCall, result: Option<&str>) {
        if let Calling::Lock { id, .. } = call.what {
            self.lock_over(id, result.map(str::to_owned), KnownBy::Later);
        }
    }

    /// Remembers a call until it ends.
    pub(super) fn await_end(
        &mut self,
        thread: &Stopped,
        entry: Entry,
        what: Calling,
        until_exit: bool,
    ) {
        if let Some(state) = self.threads.get_mut(&thread.id()) {
            state.call = Some(InCall { entry, what, until_exit, interrupted: false });
        }
    }

    /// A write to standard error, or to standard output: of that, which is data, only how it ends is looked at.
    fn output(&mut self, thread: &Stopped, entry: &Entry) {
        if let Some(before_output) = self.before_output {
            before_output();
        }
        let Some(pid) = self.pid_of(thread).filter(|pid| self.is_told(*pid)) else { return };
        let (tid, [to, data, size, ..]) = (thread.tid(), entry.args);
        let vector = entry.nr as c_long == libc::SYS_writev;
        let last = if vector {
            memory::last_gathered(tid, data, size)
        } else {
            memory::read(tid, data.wrapping_add(size).wrapping_sub(1), 1).pop()
        };
        let ends_line = last == Some(b'\n');
        if fd(to) != STDERR {
            let (text, truncated) = (String::new(), false);
            let what = What::Output { fd: fd(to), text, truncated, ends_line };
            return self.tell(pid, thread.id(), what);
        }
        let bytes = if vector {
            memory::gather(tid, data, size, KEPT + 1)
        } else {
            memory::read(tid, data, usize::try_from(size).unwrap_or(0).min(KEPT + 1))
        };
        let kept = bytes.get(..KEPT).unwrap_or(&bytes);
        let cut = kept.len() < bytes.len() || vector && size > memory::PIECES;
        self.said((pid, thread.id()), kept, cut, ends_line);
    }

    /// A system call of another ABI, told once for each number.
    fn foreign(&mut self, thread: &Stopped, entry: &Entry) {
        // A tracer around the process skips calls by giving them the number -1, which has x32's bit too.
        if entry.nr as i32 == -1 {
            return;
        }
        let nr = if entry.arch == arch::NATIVE {
            entry.nr & !u64::from(arch::X32_BIT)
        } else {
            entry.nr
        };
        let Some(pid) = self.pid_of(thread) else { return };
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if process.foreign.len() >= FOREIGN_TOLD || process.foreign.contains(&nr) {
            return;
        }
        process.foreign.push(nr);
        let abi = arch::abi_name(entry.arch).into();
        self.tell(pid, thread.id(), What::ForeignSyscall { abi, nr });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_name() {
        assert_eq!(error_name(0), None);
        assert_eq!(error_name(-111).as_deref(), Some("ECONNREFUSED"));
        assert_eq!(error_name(-115).as_deref(), Some("EINPROGRESS"));
    }

    #[test]
    fn a_descriptor_is_the_low_half_of_its_argument() {
        assert_eq!(fd(0xffff_ffff_0000_0002), Fd(2));
    }
}
