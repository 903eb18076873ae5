//! The loop of the ptrace thread: wait, classify, decide, let go on. It blocks on nothing but wait4(2).

use super::hidden::Hidden;
use super::pending::PendingLocks;
use super::plan::Plan;
use super::process::{Process, Processes, Thread, Threads};
use super::rounds::Rounds;
use super::serve;
use super::signals::{SeenSignals, name};
use super::spawn::{Report, Spawned};
use super::stop::{Stop, classify};
use super::sys::{self, RawStatus};
use super::tracee::{Call, Gone, Stopped, Until};
use crate::capture::clock::Clock;
use crate::capture::queue::{EventSender, Refused};
use gmtrace_core::event::{Event, Exit, What};
use gmtrace_core::units::{Nanos, Pid, Tid};
use nix::errno::Errno;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stops that are collected before the first is acted on. wait4(2) looks through the tracees in one order, so that busy ones
/// at its head would starve the others (hard case 24).
const DRAINED: usize = 256;

/// What the engine is given.
pub struct Told {
    /// Where events go, until the command has ended.
    pub events: EventSender,
    /// What becomes of the command, for the front. It must not block.
    pub command: Box<dyn FnMut(Change)>,
    /// Requests whose end was not seen.
    pub locks: PendingLocks,
    /// Signals that reached the command.
    pub signals: SeenSignals,
    /// For those who wait for the engine to have seen everything.
    pub rounds: Rounds,
    /// Counts the stops.
    pub stops: Arc<AtomicU64>,
    /// The clock of the events.
    pub clock: Clock,
}

/// What becomes of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Stopped by this signal.
    Stopped(i32),
    /// Runs again.
    Continued,
    /// Ended.
    Ended(Ending),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// exit(2) with this status.
    Code(u8),
    /// Killed by this signal.
    Signal(i32),
}

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Exit {
        match ending {
            Ending::Code(code) => Exit::Code(code),
            Ending::Signal(signal) => Exit::Signal(name(signal)),
        }
    }
}

/// How a stopped thread is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Run.
    Run,
    /// Run, with this signal.
    Deliver(i32),
    /// Stay in the group-stop.
    Listen,
    /// Stay stopped until the others of its process are watched too.
    Hold,
}

impl Next {
    /// For a stop that nothing more can be learned of.
    fn unseen(stop: Stop) -> Next {
        match stop {
            Stop::Signal(signal) => Next::Deliver(signal),
            Stop::Group(_) => Next::Listen,
            _ => Next::Run,
        }
    }
}

/// The tracer of one command and all that comes from it.
pub struct Engine {
    pub(super) command: Pid,
    pub(super) own_pid: i32,
    /// `/proc` shows another pid namespace: its numbers are not ours.
    pub(super) proc_is_foreign: bool,
    pub(super) follow_children: bool,
    pub(super) exact_reads: bool,
    pub(super) before_output: Option<fn()>,
    pub(super) clock: Clock,
    pub(super) locks: PendingLocks,
    pub(super) signals: SeenSignals,
    pub(super) processes: Processes,
    pub(super) threads: Threads,
    /// Parents of children whose first stop has not come yet.
    pub(super) births: HashMap<Tid, Pid>,
    /// Children that were to be hidden.
    pub(super) hidden: Hidden,
    /// Mounts that have granted a lock.
    pub(super) granting: HashSet<u64>,
    pub(super) next_lock: u64,
    /// Processes with a window.
    pub(super) windows: Vec<Pid>,
    /// Processes with an unfinished line on standard error.
    pub(super) unfinished: Vec<Pid>,
    /// How often the thread is woken; 0: never.
    pub(super) alarm: Nanos,
    pub(super) started: bool,
    events: Option<EventSender>,
    /// Events that found no room.
    lost: u64,
    change: Box<dyn FnMut(Change)>,
    stops: Arc<AtomicU64>,
    fail_after: Option<u64>,
    /// Stops that were reported and not acted on yet; the first is being acted on.
    batch: VecDeque<RawStatus>,
    next_tick: Nanos,
    rounds: Rounds,
    /// The round that `batch` completes, if it is complete, and the last that was told.
    round: Option<u64>,
    last_round: u64,
}

impl Engine {
    /// The engine of a command that has been seized and waits to be told to go on, or has been.
    pub fn new(plan: &Plan, pid: i32, told: Told) -> Engine {
        let command = Pid(pid);
        let mut process = Process::new(true, None);
        process.threads.push(Tid(pid));
        Engine {
            command,
            own_pid: nix::unistd::getpid().as_raw(),
            proc_is_foreign: sys::proc_is_foreign(),
            follow_children: plan.follow_children,
            exact_reads: plan.exact_reads,
            before_output: plan.before_output,
            clock: told.clock,
            locks: told.locks,
            signals: told.signals,
            processes: HashMap::from([(command, process)]),
            threads: HashMap::from([(Tid(pid), Thread::new(command))]),
            births: HashMap::new(),
            hidden: Hidden::default(),
            granting: HashSet::new(),
            next_lock: 0,
            windows: Vec::new(),
            unfinished: Vec::new(),
            alarm: Nanos(0),
            started: false,
            events: Some(told.events),
            lost: 0,
            change: told.command,
            stops: told.stops,
            fail_after: plan.fail_after,
            batch: VecDeque::new(),
            next_tick: Nanos(0),
            rounds: told.rounds,
            round: None,
            last_round: 0,
        }
    }

    /// Attends to the command until it has become its own program, where it is held, or has ended before that.
    pub fn until_started(&mut self, spawned: &Spawned) -> Start {
        loop {
            if !self.drain() {
                return Start::Ended(Ending::Code(125));
            }
            while let Some(status) = self.batch.pop_front() {
                match classify(status.status) {
                    Stop::Exited(code) => return Start::before_exec(spawned, Ending::Code(code)),
                    Stop::Killed(signal) => {
                        return Start::before_exec(spawned, Ending::Signal(signal));
                    }
                    Stop::Exec => return self.start(spawned, status),
                    _ => self.attend(status),
                }
            }
        }
    }

    /// The command has become its own program: everything is known that was to be known.
    fn start(&mut self, spawned: &Spawned, status: RawStatus) -> Start {
        let report = spawned.report();
        let thread = Stopped::seen(status.tid);
        if report.filter != 0 {
            _ = thread.detach();
        } else {
            self.batch.push_front(status);
        }
        Start::Running(report)
    }

    /// Attends to all tracees until the last has ended.
    pub fn run(&mut self) {
        self.rounds.run_here();
        loop {
            while let Some(status) = self.batch.front().copied() {
                self.attend(status);
                self.batch.pop_front();
            }
            self.end_round();
            self.tick();
            if !self.drain() {
                return;
            }
        }
    }

    /// After a failure of [`run`](Engine::run): only lets everything go on, without looking. That is said, and the command's end.
    pub fn serve(&mut self) {
        let why = "the tracer failed: the command runs on unwatched".to_owned();
        self.tell_of_command(What::Lost { what: "event".into(), count: 1, why });
        let windows = self.processes.values_mut().filter_map(|process| process.window.take());
        for thread in windows.flatten().collect::<Vec<Stopped>>() {
            _ = thread.resume(Until::Stop, 0); // Gone: it was killed meanwhile.
        }
        let batch = std::mem::take(&mut self.batch);
        serve::serve(batch, |status, ending| {
            if status.tid == self.command.0 {
                let exit = What::ProcessExit { exit: ending.into(), cpu_ns: status.cpu_ns };
                self.send_last(self.command, exit);
                self.changed(Change::Ended(ending));
            }
        });
    }

    fn tell_of_command(&mut self, what: What) {
        let pid = self.command;
        self.send(Event { t: self.clock.now(), pid, tid: pid.into(), what });
    }

    /// Waits for a stop, then takes all there are. False when there is nothing left to wait for.
    fn drain(&mut self) -> bool {
        match sys::wait_any(libc::__WALL) {
            Ok(status) => self.batch.extend(status),
            Err(Errno::EINTR) => {} // The alarm of a window, or somebody waits for a round.
            Err(_) => return false,
        }
        let round = self.rounds.begin();
        while self.batch.len() < DRAINED {
            match sys::wait_any(libc::__WALL | libc::WNOHANG) {
                Ok(Some(status)) => self.batch.push_back(status),
                _ => {
                    self.round = Some(round);
                    break;
                }
            }
        }
        true
    }

    fn end_round(&mut self) {
        if let Some(round) = self.round.take()
            && round > self.last_round
        {
            self.last_round = round;
            self.rounds.end(round);
        }
    }

    /// One wait status.
    fn attend(&mut self, status: RawStatus) {
        let count = self.stops.fetch_add(1, Ordering::Relaxed);
        self.fail_if_asked(count);
        let tid = Tid(status.tid);
        match classify(status.status) {
            Stop::Exited(code) => self.ended(tid, Ending::Code(code), status.cpu_ns),
            Stop::Killed(signal) => self.ended(tid, Ending::Signal(signal), status.cpu_ns),
            Stop::Continued => {} // Only for those that are not traced.
            stop => self.stopped(Stopped::seen(status.tid), stop),
        }
    }

    fn stopped(&mut self, thread: Stopped, stop: Stop) {
        let tid = thread.id();
        if !self.threads.contains_key(&tid) {
            self.meet(tid);
            self.is_newborn(&thread);
        }
        self.arrived(tid);
        // Gone: it was killed while it was looked at, and its end comes by itself. Should it be there all the same (a request that
        // this kernel does not know), it must not stay stopped.
        let next = self.decide(&thread, stop).unwrap_or_else(|Gone| Next::unseen(stop));
        self.go_on(thread, next);
        self.release(tid);
    }

    fn decide(&mut self, thread: &Stopped, stop: Stop) -> Result<Next, Gone> {
        match stop {
            Stop::Signal(signal) => self.signal(thread, signal),
            Stop::Group(signal) => Ok(self.group_stop(thread, signal)),
            Stop::Trap => Ok(self.trap(thread)),
            Stop::Seccomp | Stop::Syscall => self.at_call(thread),
            Stop::Birth => self.birth(thread),
            Stop::Exec => self.exec(thread),
            Stop::Exiting => {
                self.ends(thread);
                Ok(Next::Run)
            }
            _ => Ok(Next::Run),
        }
    }

    fn at_call(&mut self, thread: &Stopped) -> Result<Next, Gone> {
        match thread.call()? {
            Call::Trapped(entry, data) => self.trapped(thread, entry, data),
            Call::Entry(entry) => Ok(self.entered(thread, &entry)),
            Call::Exit(result) => Ok(self.left(thread, result)),
            Call::None => Ok(Next::Run),
        }
    }

    /// Lets a thread go on as decided: to its next system call where that is wanted.
    pub(super) fn go_on(&mut self, stopped: Stopped, next: Next) {
        let tid = stopped.id();
        let until = self.until(tid);
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.stepping = until == Until::Syscall;
            thread.listening = next == Next::Listen;
        }
        // Gone: as above.
        _ = match next {
            Next::Run => stopped.resume(until, 0),
            Next::Deliver(signal) => stopped.resume(until, signal),
            Next::Listen => stopped.listen(),
            Next::Hold => {
                self.hold(stopped);
                Ok(())
            }
        };
    }

    pub(super) fn until(&self, tid: Tid) -> Until {
        let Some(thread) = self.threads.get(&tid) else { return Until::Stop };
        let awaited = thread.call.as_ref().is_some_and(|call| call.until_exit);
        let window = || self.processes.get(&thread.pid)?.window.as_ref();
        if awaited || window().is_some_and(|window| window.covers(tid)) {
            Until::Syscall
        } else {
            Until::Stop
        }
    }

    /// Looks after the windows and the unfinished lines, every few milliseconds while there are any.
    fn tick(&mut self) {
        if self.alarm == Nanos(0) {
            return;
        }
        let now = self.clock.now();
        if now >= self.next_tick {
            self.next_tick = now.plus(super::window::TICK);
            self.close_old_windows(now);
            self.say_old_lines(now);
            self.set_alarm();
        }
    }

    pub(super) fn pid_of(&self, thread: &Stopped) -> Option<Pid> {
        self.threads.get(&thread.id()).map(|thread| thread.pid)
    }

    /// Whether a process's events are told.
    pub(super) fn is_told(&self, pid: Pid) -> bool {
        self.events.is_some() && self.processes.get(&pid).is_some_and(|process| process.told)
    }

    /// Tells what happened, now.
    pub(super) fn tell(&mut self, pid: Pid, tid: Tid, what: What) {
        if self.is_told(pid) {
            self.send(Event { t: self.clock.now(), pid, tid, what });
        }
    }

    /// Sends an event, if there is room: the watch may be slow (a disk that does not answer), and neither memory nor the command
    /// may pay for it. What found no room is counted and told.
    pub(super) fn send(&mut self, event: Event) {
        let Some(events) = &self.events else { return };
        let lost = (self.lost > 0).then(|| lost(self.lost, &event));
        if let Some(lost) = lost
            && events.send(lost).is_ok()
        {
            self.lost = 0;
        }
        match events.send(event) {
            Ok(()) => {}
            Err(Refused::Full) => self.lost = self.lost.saturating_add(1),
            Err(Refused::Gone) => self.events = None, // The watch has left.
        }
    }

    /// The last event there is: the command's end.
    pub(super) fn send_last(&mut self, pid: Pid, what: What) {
        let Some(events) = self.events.take() else { return };
        let event = Event { t: self.clock.now(), pid, tid: pid.into(), what };
        let lost = (self.lost > 0).then(|| lost(self.lost, &event));
        for event in lost.into_iter().chain([event]) {
            events.send_last(event);
        }
    }

    /// Tells the front what became of the command.
    pub(super) fn changed(&mut self, change: Change) {
        (self.change)(change);
    }

    #[allow(clippy::panic)] // Plan::fail_after: the fallback must be tried.
    fn fail_if_asked(&self, count: u64) {
        if self.fail_after.is_some_and(|after| count == after) {
            panic!("failing after {count} stops, as asked");
        }
    }
}

fn lost(count: u64, event: &Event) -> Event {
    let why = "the watch did not keep up".to_owned();
    let what = What::Lost { what: "event".into(), count, why };
    Event { what, ..*event }
}

/// How a start went.
#[derive(Debug)]
pub enum Start {
    /// The command is its own program.
    Running(Report),
    /// execve(2), or what comes before it, failed.
    Failed(Report),
    /// A signal ended it before it could.
    Ended(Ending),
}

impl Start {
    fn before_exec(spawned: &Spawned, ending: Ending) -> Start {
        match ending {
            Ending::Code(_) => Start::Failed(spawned.report()),
            Ending::Signal(_) => Start::Ended(ending),
        }
    }
}
