//! Signals, and processes that they stop.

use super::{Translator, pid};
use crate::capture::ptrace::signal_name;
use gmtrace_abi as abi;
use gmtrace_abi::Head;
use gmtrace_core::event::{SignalSender, What};
use gmtrace_core::units::Pid;
use std::fs;

/// Signals that programs send themselves, often.
const EVERYDAY: [i32; 5] =
    [libc::SIGPROF, libc::SIGALRM, libc::SIGVTALRM, libc::SIGIO, libc::SIGWINCH];
/// Signals of one process that are told; a storm of them is not.
const SIGNALS: u32 = 512;

impl Translator {
    pub(super) fn signal(&mut self, head: &Head, signal: &abi::Signal) {
        let (target, number) = (pid(signal.target), signal.signal.cast_signed());
        if number == libc::SIGCONT && self.stopped.remove(&target) {
            self.tell_of(head, (target, target.into()), What::Continued);
        }
        let told = self.signals.entry(target).or_default();
        if EVERYDAY.contains(&number) || number >= 32 || *told >= SIGNALS {
            return;
        }
        *told += 1;
        let sender = match signal.code {
            libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE => {
                SignalSender::Process { pid: pid(head.pid), uid: signal.uid }
            }
            _ => SignalSender::Kernel,
        };
        let sender = if Some(target) == self.command { self.real(number, sender) } else { sender };
        if !matches!(sender, SignalSender::Process { pid, .. } if pid == target) {
            let what = What::Signal { signal: signal_name(number), sender };
            self.tell_of(head, (target, target.into()), what);
        }
    }

    /// A process that reads the terminal in the background is stopped only where its group has a parent that could let it run again
    /// (get_signal in kernel/signal.c): that it is, is read.
    pub(super) fn stopped(&mut self, head: &Head, signal: i32) {
        let pid = pid(head.pid);
        // The command's own stops are told by its parent.
        if Some(pid) != self.command && state(pid) == Some('T') && self.stopped.insert(pid) {
            self.tell(head, What::Stopped { signal: signal_name(signal) });
        }
    }

    /// Who sent the command a signal that gmtrace passed on.
    pub(super) fn real(&self, signal: i32, sender: SignalSender) -> SignalSender {
        let own = Pid(std::process::id().cast_signed());
        match sender {
            SignalSender::Process { pid, .. } if pid == own => {
                let real = self.seen.real_sender(signal);
                real.map_or(SignalSender::Unknown, |from| SignalSender::Process {
                    pid: Pid(from.pid),
                    uid: from.uid,
                })
            }
            SignalSender::Process { pid, .. } => {
                self.seen.add(signal, pid.0);
                sender
            }
            _ => {
                self.seen.add(signal, 0);
                sender
            }
        }
    }
}

/// The state of a process's first thread (proc(5), `/proc/PID/stat`: behind the name, which may have brackets in it).
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
