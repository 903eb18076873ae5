//! The process that the shell waits for. It has one thread, does nothing but wait, and ends as the command ends.

use super::link::{Got, Link, ToFront};
use super::{Ended, Held, WatchSide, orphans, tracer};
use crate::bounded::{Patience, is_running};
use crate::capture::clock::Clock;
use crate::capture::ebpf::Loaded;
use crate::capture::ptrace::sys::{self, Fork};
use crate::capture::ptrace::{Plan, SignalInfo};
use gmtrace_core::units::Pid;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::{getpid, getsid};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// How long the watch may sleep after the command has ended.
const BOUND: Duration = Duration::from_secs(2);

/// See [`super::run`].
pub(super) fn run<W>(
    plan: Plan,
    probes: Option<Loaded>,
    clock: Clock,
    watch: W,
) -> io::Result<Ended>
where
    W: FnOnce(WatchSide) + Send + 'static,
{
    // Before the fork, so that no signal meets either process unprepared; the command gets back what was inherited.
    let all = SigSet::all();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None)?;
    let name = plan.argv.first().map(|name| name.to_string_lossy().into_owned());
    let (own, other) = Link::pair()?;
    let front = getpid().as_raw();
    match sys::fork()? {
        Fork::Child => {
            drop(own);
            tracer::run(&plan, probes, clock, other, front, watch)
        }
        Fork::Parent(tracer) => {
            drop((other, probes));
            let signals =
                SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
            let mut front = Front {
                link: own,
                signals,
                tracer,
                lives_on: None,
                ended: None,
                status: None,
                done: false,
            };
            front.wait(&name.unwrap_or_default())
        }
    }
}

/// What the front knows.
struct Front {
    link: Link,
    signals: SignalFd,
    tracer: i32,
    /// The command, if it lives on without the tracer.
    lives_on: Option<Held>,
    ended: Option<(Ended, Patience)>,
    status: Option<u8>,
    done: bool,
}

impl Front {
    /// Waits for the command's end and the watch's.
    fn wait(&mut self, name: &str) -> io::Result<Ended> {
        loop {
            if let Some((ended, patience)) = &mut self.ended
                && (self.done || patience.is_over(|| is_running(self.tracer)))
            {
                let ended = *ended;
                return Ok(self.status.map_or(ended, Ended::Code));
            }
            let (signal, message) = self.poll()?;
            if signal && self.pass_signals() {
                return Ok(self.ended.map_or(Ended::Code(125), |(ended, _)| ended));
            }
            if message {
                match self.link.next() {
                    Some(ToFront::NotRun(errno)) => return Ok(not_run(name, errno)),
                    Some(ToFront::Failed(errno)) => {
                        return Err(io::Error::from_raw_os_error(errno));
                    }
                    Some(message) => self.take(message),
                    None => return Ok(self.alone()),
                }
            }
        }
    }

    fn poll(&self) -> Result<(bool, bool), Errno> {
        let left = self.ended.as_ref().map(|(_, patience)| patience.pause());
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            // A millisecond more: poll(2) must not come back before the time is up.
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO)
        });
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.link.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let [signal, message] = fds.map(|fd| fd.any().unwrap_or(false));
        Ok((signal, message))
    }

    fn take(&mut self, message: ToFront) {
        match message {
            ToFront::Started(lives_on) => {
                sys::let_go_of_files(true);
                self.lives_on = (lives_on > 0).then(|| Held::child(Pid(lives_on)));
            }
            ToFront::Stopped(signal) => self.stop(signal),
            ToFront::Ended(ended) => self.ended = Some((ended, Patience::new(BOUND))),
            ToFront::Status(status) => self.status = Some(status),
            ToFront::Done => self.done = true,
            ToFront::Continued | ToFront::NotRun(_) | ToFront::Failed(_) => {}
        }
    }

    /// Stops as the command has stopped, so that the shell takes the terminal back and says so. (SIGSTOP, which cannot be
    /// blocked, is sent by the tracer itself.)
    ///
    /// The command may run again by the time this is read. The tracer says so before it sends SIGCONT here: so the stop is
    /// raised while it is blocked, and let through only if nothing of the kind has been said. A SIGCONT after that look removes
    /// the waiting stop signal (signal(7)); one before it has its message in the socket.
    fn stop(&mut self, signal: i32) {
        sys::default_action(signal);
        sys::raise(signal);
        match self.link.next_now() {
            None => sys::let_through(signal),
            Some(message) => {
                sys::drop_waiting(signal);
                self.take(message);
            }
        }
    }

    /// Hands on the signals that have come. True when one of them asks to leave at once: the command has ended, and only the
    /// watch is waited for.
    fn pass_signals(&self) -> bool {
        let mut leave = false;
        while let Ok(Some(info)) = self.signals.read_signal() {
            let (signal, from) = taken(&info);
            if self.ended.is_some() {
                leave |=
                    matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT);
            } else if signal == libc::SIGCHLD {
                orphans::reap();
            } else if self.concerns_command(signal, &from) {
                self.link.tell(Got { signal, from });
            }
        }
        leave
    }

    /// Whether a signal to the front may be meant for the command. What a terminal sends, it sends to the whole foreground group,
    /// the command in it; only the hangup of a terminal goes to the leader of its session alone (kernel:
    /// tty_signal_session_leader), which is the command where gmtrace is not.
    fn concerns_command(&self, signal: i32, from: &SignalInfo) -> bool {
        if from.code == libc::SI_KERNEL {
            let leader = getsid(None) == Ok(getpid());
            return leader && matches!(signal, libc::SIGHUP | libc::SIGCONT);
        }
        from.pid != self.tracer
    }

    /// The tracer is gone. If it had told the end, that holds; if not, it was killed, and the command with it, unless that lives on.
    fn alone(&self) -> Ended {
        match (self.ended, &self.lives_on) {
            (Some((ended, _)), _) => self.status.map_or(ended, Ended::Code),
            (None, Some(command)) => self.see_off(command),
            (None, None) => Ended::Signal(libc::SIGKILL),
        }
    }

    /// Waits for the end of a command that nobody watches any more. It is not this process's child: only a newer kernel tells how it
    /// ended.
    fn see_off(&self, command: &Held) -> Ended {
        _ = writeln!(
            io::stderr(),
            "gmtrace: its process {} was killed; the command goes on, and nothing is watched.",
            self.tracer
        );
        while !command.has_ended() {
            let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            fds.extend(command.as_fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            // Without a pidfd it has to be looked for.
            let pause = if fds.len() > 1 { PollTimeout::NONE } else { PollTimeout::from(50u8) };
            _ = poll(&mut fds, pause);
            self.pass_on(command);
        }
        command.exit().unwrap_or(Ended::Code(125))
    }

    /// Hands on to a command what nobody else does any more.
    fn pass_on(&self, command: &Held) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let (signal, from) = taken(&info);
            if signal != libc::SIGCHLD && self.concerns_command(signal, &from) {
                // ESRCH: it has ended.
                _ = command.kill(signal);
            }
        }
    }
}

/// The signal that was read, and who sent it.
fn taken(info: &siginfo) -> (i32, SignalInfo) {
    let (code, pid, uid) = (info.ssi_code, info.ssi_pid.cast_signed(), info.ssi_uid);
    (info.ssi_signo.cast_signed(), SignalInfo { code, pid, uid })
}

/// Says why the command did not run, as env(1) does.
fn not_run(name: &str, errno: i32) -> Ended {
    let text = Errno::from_raw(errno).desc();
    let name = gmtrace_core::text::Escaped(name);
    // Standard error may be full or closed; eprintln! would panic.
    _ = writeln!(io::stderr(), "gmtrace: {name}: {text}");
    Ended::not_run(errno)
}
