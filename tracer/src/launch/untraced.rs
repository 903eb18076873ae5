//! A command that is not traced: started, waited for, its end told. What else is known of it comes from eBPF programs, or from
//! `/proc` alone.

use super::forward::Seen;
use super::link::ToFront;
use super::tracer::{Run, Teller, note, note_foreign_proc};
use super::{Capture, WatchSide};
use crate::capture::clock::Clock;
use crate::capture::ebpf::{self, Loaded, Reader};
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
    by: By,
    watch: W,
) where
    W: FnOnce(WatchSide) + Send + 'static,
{
    if report.user != 0 || report.exec != 0 {
        return teller.not_started(report.user, report.exec);
    }
    let pid = Pid(spawned.pid);
    let mut waiter = Waiter { pid, clock: run.clock, events, teller, reader: None, probes: None };
    waiter.tell(What::ProcessStart { ppid: Pid(nix::unistd::getpid().as_raw()), ns_pid: None });
    note_foreign_proc(&waiter.events, waiter.clock, pid.0);
    let (capture, seen) = waiter.begin(by, &run);
    if let Capture::Proc(why) = &capture {
        let text = format!("the command could not be traced: {why}");
        note(&waiter.events, waiter.clock, pid.0, (*why != WhyNot::NotAsked).then_some(text));
        waiter.tell(What::Exec(program::describe(pid)));
    }
    let companions = run.begin(spawned, capture, report.no_new_privs, seen, watch);
    waiter.teller.link.send(&ToFront::Started(pid.0));
    waiter.wait();
    // The watch goes on until the last sender of events is gone.
    let probes = waiter.probes.take();
    drop(waiter);
    companions.wait();
    drop(probes);
}

/// How a command that is not traced is watched.
pub(super) struct By {
    /// By these programs; otherwise through `/proc` alone.
    pub(super) probes: Option<Loaded>,
    /// Why it is not traced.
    pub(super) why: WhyNot,
    pub(super) follow_children: bool,
}

/// Waits for a child that nobody traces.
struct Waiter {
    pid: Pid,
    clock: Clock,
    events: EventSender,
    teller: Teller,
    reader: Option<Reader>,
    /// The programs, when nothing more is read.
    probes: Option<Loaded>,
}

impl Waiter {
    /// Starts to read what the programs write.
    fn begin(&mut self, by: By, run: &Run) -> (Capture, Option<Seen>) {
        let Some(probes) = by.probes else { return (Capture::Proc(by.why), None) };
        let unseen = probes.unseen.clone();
        let told = ebpf::Run {
            events: self.events.clone(),
            clock: self.clock,
            command: Some(self.pid),
            follow_children: by.follow_children,
            signals: run.signals.clone(),
            locks: run.locks.clone(),
        };
        match Reader::start(probes, told) {
            Ok(reader) => {
                let asks = reader.asks();
                let until_now = Box::new(move || asks.fetch());
                self.reader = Some(reader);
                let seen = Seen { signals: run.signals.clone(), until_now };
                (Capture::Ebpf { unseen }, Some(seen))
            }
            Err(why) => {
                tracing::warn!("{why}");
                (Capture::Proc(by.why), None)
            }
        }
    }

    fn wait(&mut self) {
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

    fn ended(&mut self, ending: Ending, cpu_ns: u64) {
        self.teller.tell(Change::Ended(ending));
        // What was written before comes before. Taking probes out takes the kernel a while: that is for when the front is gone.
        self.probes = self.reader.take().and_then(Reader::finish);
        self.tell(What::ProcessExit { exit: ending.into(), cpu_ns });
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
