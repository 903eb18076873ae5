//! Signals on their way to a tracee. Every one is delivered; a few are looked into.

use super::engine::{Change, Engine, Next};
use super::process::Process;
use super::spawn::status_field;
use super::sys::{LAST_SIGNAL, SignalInfo, signal_bit};
use super::tracee::{Gone, Stopped};
use gmtrace_core::event::{SignalSender, What};
use gmtrace_core::units::Pid;
use nix::sys::signal::Signal;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long after a signal another one is taken for a part of the same sending (a process group, a service stopped by its
/// manager one process at a time).
const SAME_SENDING: Duration = Duration::from_millis(100);

/// Signals of one process that are looked into; a storm of them is delivered unseen.
const LOOKED_INTO: u32 = 512;

/// A signal that reached the command.
#[derive(Debug, Clone, Copy)]
struct Seen {
    signal: i32,
    sender: i32,
    at: Instant,
}

/// The signals that reached the command, and those that gmtrace passes on to it. Shared by the ptrace thread, which sees
/// them, and the thread that decides what the front's signals were meant for.
#[derive(Debug, Clone, Default)]
pub struct SeenSignals {
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    seen: VecDeque<Seen>,
    passed_on: VecDeque<(i32, SignalInfo)>,
}

impl SeenSignals {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the command got a signal.
    pub fn add(&self, signal: i32, sender: i32) {
        let mut log = self.log();
        if log.seen.len() >= 64 {
            log.seen.pop_front();
        }
        log.seen.push_back(Seen { signal, sender, at: Instant::now() });
    }

    /// Whether the command has just got the same signal from the same sender itself. Takes the entry out: two sendings are two.
    pub fn has_reached(&self, signal: i32, sender: i32) -> bool {
        let mut log = self.log();
        let same = |seen: &Seen| {
            seen.signal == signal && seen.sender == sender && seen.at.elapsed() < SAME_SENDING
        };
        let found = log.seen.iter().position(same);
        found.is_some_and(|index| log.seen.remove(index).is_some())
    }

    /// Announces a signal that gmtrace is about to send to the command in place of its real sender.
    pub fn pass_on(&self, signal: i32, sender: SignalInfo) {
        let mut log = self.log();
        if log.passed_on.len() >= 64 {
            log.passed_on.pop_front();
        }
        log.passed_on.push_back((signal, sender));
    }

    /// The real sender of a signal that gmtrace itself sent.
    pub fn real_sender(&self, signal: i32) -> Option<SignalInfo> {
        let mut log = self.log();
        let index = log.passed_on.iter().position(|(number, _)| *number == signal)?;
        log.passed_on.remove(index).map(|(_, sender)| sender)
    }
}

/// The name of a signal, as `SIGTERM`; real-time signals as `SIGRTMIN+3` (signal(7)).
pub fn name(signal: i32) -> String {
    const FIRST_REALTIME: i32 = 34; // As the C library counts: it keeps 32 and 33 for itself.
    match Signal::try_from(signal) {
        Ok(known) => known.as_str().to_owned(),
        Err(_) if signal == FIRST_REALTIME => "SIGRTMIN".to_owned(),
        Err(_) if (FIRST_REALTIME..=LAST_SIGNAL).contains(&signal) => {
            format!("SIGRTMIN+{}", signal - FIRST_REALTIME)
        }
        Err(_) => format!("signal {signal}"),
    }
}

/// Signals that programs send themselves, often; Go preempts by SIGURG (runtime/signal_unix.go, `sigPreempt`), a profiler ticks
/// by SIGPROF.
fn is_everyday(signal: i32) -> bool {
    use libc::{SIGALRM, SIGCHLD, SIGIO, SIGPROF, SIGURG, SIGVTALRM, SIGWINCH};
    matches!(signal, SIGURG | SIGCHLD | SIGPROF | SIGALRM | SIGVTALRM | SIGIO | SIGWINCH)
        || signal >= 32
}

/// Signals that people, shells and service managers send. They are looked into always: whether the command has them decides
/// whether they are passed on to it.
fn is_from_people(signal: i32) -> bool {
    use libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
    matches!(signal, SIGINT | SIGTERM | SIGHUP | SIGQUIT | SIGCONT | SIGTSTP)
}

/// Who a siginfo_t says sent the signal. The codes of kill(2), tgkill(2) and sigqueue(3) carry a pid; timers and the kernel's
/// own do not (sigaction(2)).
fn sender(info: &SignalInfo) -> SignalSender {
    match info.code {
        libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE => {
            SignalSender::Process { pid: Pid(info.pid), uid: info.uid }
        }
        _ => SignalSender::Kernel,
    }
}

impl Engine {
    /// A signal is about to be delivered.
    pub(super) fn signal(&mut self, thread: &Stopped, signal: i32) -> Result<Next, Gone> {
        self.interrupted(thread);
        if !is_everyday(signal) {
            self.look_into(thread, signal)?;
        }
        Ok(Next::Deliver(signal))
    }

    fn look_into(&mut self, thread: &Stopped, signal: i32) -> Result<(), Gone> {
        let Some(pid) = self.pid_of(thread) else { return Ok(()) };
        let Some(process) = self.processes.get_mut(&pid) else { return Ok(()) };
        process.signals = process.signals.saturating_add(1);
        let storm = process.signals > LOOKED_INTO;
        if storm && !(pid == self.command && is_from_people(signal)) {
            return Ok(());
        }
        let mut info = thread.signal_info()?;
        if pid == self.command {
            info = self.bound_for_command(thread, signal, info)?;
        }
        let Some(process) = self.processes.get(&pid).filter(|_| !storm) else { return Ok(()) };
        let mut sender = sender(&info);
        if is_from_elsewhere(process, pid, &mut sender) || ends_or_stops(thread, signal) {
            self.tell(pid, thread.id(), What::Signal { signal: name(signal), sender });
        }
        Ok(())
    }

    /// A signal for the command: one that gmtrace passes on gets its real sender back, so that the command sees no
    /// difference (a process may not name another as the sender, rt_sigqueueinfo(2), but a tracer may change it).
    fn bound_for_command(
        &mut self,
        thread: &Stopped,
        signal: i32,
        info: SignalInfo,
    ) -> Result<SignalInfo, Gone> {
        if info.code == libc::SI_USER && info.pid == self.own_pid {
            return match self.signals.real_sender(signal) {
                Some(real) => thread.set_sender(real).map(|()| real),
                None => Ok(info),
            };
        }
        let from_process = matches!(sender(&info), SignalSender::Process { .. });
        if !from_process || info.pid != self.command.0 {
            self.signals.add(signal, if from_process { info.pid } else { 0 });
        }
        Ok(info)
    }

    /// A thread of a process that is being stopped (group-stop). It stays so.
    pub(super) fn group_stop(&mut self, thread: &Stopped, signal: i32) -> Next {
        self.interrupted(thread);
        let Some(pid) = self.pid_of(thread) else { return Next::Listen };
        let Some(process) = self.processes.get_mut(&pid) else { return Next::Listen };
        if process.stopped.replace(signal).is_none() {
            self.tell(pid, thread.id(), What::Stopped { signal: name(signal) });
            if pid == self.command {
                self.changed(Change::Stopped(signal));
            }
        }
        Next::Listen
    }

    /// A first stop, an interruption, or the end of a group-stop. Only a thread that was left in a group-stop tells the last
    /// of these: others may still be on their way into it.
    pub(super) fn trap(&mut self, thread: &Stopped) -> Next {
        self.interrupted(thread);
        let listening = self.threads.get(&thread.id()).filter(|thread| thread.listening);
        let Some(pid) = listening.map(|thread| thread.pid) else { return Next::Run };
        let Some(process) = self.processes.get_mut(&pid) else { return Next::Run };
        if process.stopped.take().is_some() {
            self.tell(pid, thread.id(), What::Continued);
            if pid == self.command {
                self.changed(Change::Continued);
            }
        }
        Next::Run
    }
}

/// Whether another process sent a signal. A process in another pid namespace sees other ids than gmtrace: its senders have
/// none here (kill(2), "si_pid" is the receiver's view).
fn is_from_elsewhere(process: &Process, pid: Pid, sender: &mut SignalSender) -> bool {
    let SignalSender::Process { pid: from, .. } = sender else { return false };
    let own = process.ns_pid.unwrap_or(pid);
    let other = *from != own;
    if other && process.ns_pid.is_some() {
        *from = Pid(0);
    }
    other
}

/// Whether a signal will end or stop the process: it is neither caught nor ignored, and its default is not to be ignored.
fn ends_or_stops(thread: &Stopped, signal: i32) -> bool {
    if matches!(signal, libc::SIGCONT | libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH) {
        return false;
    }
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", thread.tid())).unwrap_or_default();
    let set = |name| status_field(&status, name).and_then(|set| u64::from_str_radix(set, 16).ok());
    let dealt_with = set("SigCgt").unwrap_or(0) | set("SigIgn").unwrap_or(0);
    dealt_with & signal_bit(signal) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_name() {
        assert_eq!(name(libc::SIGTERM), "SIGTERM");
        assert_eq!(name(34), "SIGRTMIN");
        assert_eq!(name(64), "SIGRTMIN+30");
        assert_eq!(name(33), "signal 33");
        assert_eq!(name(99), "signal 99");
    }

    #[test]
    fn a_sending_is_counted_once() {
        let signals = SeenSignals::default();
        signals.add(libc::SIGTERM, 7);
        assert!(!signals.has_reached(libc::SIGTERM, 8), "another sender");
        assert!(signals.has_reached(libc::SIGTERM, 7));
        assert!(!signals.has_reached(libc::SIGTERM, 7));
    }

    #[test]
    fn a_passed_on_signal_gets_its_sender_back_once() {
        let signals = SeenSignals::default();
        let real = SignalInfo { code: libc::SI_USER, pid: 7, uid: 1000 };
        signals.pass_on(libc::SIGTERM, real);
        assert_eq!(signals.real_sender(libc::SIGINT), None);
        assert_eq!(signals.real_sender(libc::SIGTERM), Some(real));
        assert_eq!(signals.real_sender(libc::SIGTERM), None);
    }
}
