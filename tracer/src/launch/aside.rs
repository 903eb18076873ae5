//! Work in a process that nobody waits for. A thread that sleeps on a dead disk cannot be ended, and its process is not reaped before
//! the disk answers: so the process that the shell waits for has no such thread.

use super::Ended;
use crate::capture::ptrace::sys::{self, Fork};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe, read, write};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Runs `work` in a child and ends with the status that it gives; `after` is what the child may still do when nobody waits. Call it
/// while this process has one thread. Where there can be no child, the work is done here.
///
/// # Errors
/// Those of pipe(2).
pub fn aside<A>(work: impl FnOnce() -> (u8, A), after: impl FnOnce(A)) -> io::Result<Ended> {
    let (theirs, ours) = pipe()?;
    match sys::fork() {
        Err(_no_child) => {
            let (status, rest) = work();
            after(rest);
            Ok(Ended::Code(status))
        }
        Ok(Fork::Child) => {
            drop(theirs);
            // Whoever ends the parent ends the work.
            let _unlikely = prctl::set_pdeathsig(Signal::SIGTERM);
            let (status, rest) = work();
            let_go();
            let _gone = write(&ours, &[status]);
            drop(ours);
            after(rest);
            sys::exit_now(status)
        }
        Ok(Fork::Parent(child)) => {
            drop(ours);
            Ok(wait(&theirs, child))
        }
    }
}

/// Ctrl-C reaches both: the child decides what it means.
fn wait(pipe: &OwnedFd, child: i32) -> Ended {
    let mut ignored = SigSet::empty();
    ignored.add(Signal::SIGINT);
    ignored.add(Signal::SIGQUIT);
    let _kept = ignored.thread_block();
    let mut status = [0];
    loop {
        match read(pipe, &mut status) {
            Ok(1) => return Ended::Code(status[0]),
            Err(nix::errno::Errno::EINTR) => {}
            _ => break,
        }
    }
    match waitpid(Pid::from_raw(child), None) {
        Ok(WaitStatus::Signaled(_, signal, _)) => Ended::Signal(signal as i32),
        Ok(WaitStatus::Exited(_, code)) => Ended::Code(u8::try_from(code).unwrap_or(125)),
        _ => Ended::Code(125),
    }
}

/// Whoever reads from a stream that was inherited is told that this is all.
fn let_go() {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    if let Ok(null) = null {
        let _kept = nix::unistd::dup2_stdin(&null);
        let _kept = nix::unistd::dup2_stdout(&null);
        let _kept = nix::unistd::dup2_stderr(&null);
    }
}

/// Waits for SIGINT, SIGTERM or SIGHUP on a thread, and says when one has come. Call it before there are other threads.
///
/// # Errors
/// Where there can be no thread.
pub fn when_told_to_end() -> io::Result<Told> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let (sender, told) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            if sender.send(signal as i32).is_err() {
                return;
            }
        }
    })?;
    Ok(Told(told))
}

/// Tells whether a signal has come that asks to end.
#[derive(Debug)]
pub struct Told(std::sync::mpsc::Receiver<i32>);

impl Told {
    /// The signal that came within `bound`.
    pub fn within(&self, bound: Duration) -> Option<i32> {
        self.0.recv_timeout(bound).ok()
    }
}
