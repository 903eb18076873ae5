//! A command that may not be traced is run all the same: started, waited for, its end told. What else is known of it comes from
//! `/proc`.

use super::WatchSide;
use super::link::ToFront;
use super::tracer::{Run, Teller, note};
use crate::capture::clock::Clock;
use crate::capture::ptrace::{
    Change, Ending, Report, Spawned, Stop, WhyNot, classify, program, signal_name, sys,
};
use crate::capture::queue::EventSender;
use gmtrace_core::event::{Event, What};
use gmtrace_core::units::Pid;
use nix::errno::Errno;

/// Attends to it until it has ended.
pub(super) fn attend<W>(
    run: Run,
    spawned: Spawned,
    report: Report,
    (events, teller): (EventSender, Teller),
    why: WhyNot,
    watch: W,
) where
    W: FnOnce(WatchSide) + Send + 'static,
{
    if report.user != 0 || report.exec != 0 {
        return teller.not_started(report.user, report.exec);
    }
    let waiter = Waiter { pid: Pid(spawned.pid), clock: run.clock, events, teller };
    let text = (why != WhyNot::NotAsked).then(|| format!("the command could not be traced: {why}"));
    note(&waiter.events, waiter.clock, spawned.pid, text);
    let companions = run.begin(spawned, Err(why), report.no_new_privs, None, watch);
    waiter.teller.link.send(&ToFront::Started);
    waiter.tell(What::ProcessStart { ppid: Pid(nix::unistd::getpid().as_raw()), ns_pid: None });
    waiter.tell(What::Exec(program::describe(waiter.pid)));
    waiter.wait();
    drop(waiter);
    companions.wait();
}

/// Waits for a child that nobody traces.
struct Waiter {
    pid: Pid,
    clock: Clock,
    events: EventSender,
    teller: Teller,
}

impl Waiter {
    fn wait(&self) {
        loop {
            match sys::wait_any(libc::__WALL | libc::WUNTRACED | libc::WCONTINUED) {
                Ok(Some(status)) if status.tid == self.pid.0 => match classify(status.status) {
                    Stop::Exited(code) => return self.ended(Ending::Code(code), status.cpu_ns),
                    Stop::Killed(signal) => {
                        return self.ended(Ending::Signal(signal), status.cpu_ns);
                    }
                    Stop::Continued => self.continued(),
                    Stop::Signal(signal) => self.stopped(signal),
                    _ => {}
                },
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    fn stopped(&self, signal: i32) {
        self.tell(What::Stopped { signal: signal_name(signal) });
        self.teller.tell(Change::Stopped(signal));
    }

    fn continued(&self) {
        self.tell(What::Continued);
        self.teller.tell(Change::Continued);
    }

    fn ended(&self, ending: Ending, cpu_ns: u64) {
        self.tell(What::ProcessExit { exit: ending.into(), cpu_ns });
        self.teller.tell(Change::Ended(ending));
    }

    fn tell(&self, what: What) {
        self.events.send_last(Event {
            t: self.clock.now(),
            pid: self.pid,
            tid: self.pid.into(),
            what,
        });
    }
}
