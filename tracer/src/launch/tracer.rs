//! The process that starts the command and attends to its stops. Its first thread makes every ptrace request.

use super::forward::{Forwarder, Seen};
use super::keeper::{Companions, front_side};
use super::link::{Link, ToFront};
use super::untraced;
use super::{Capture, Command, Ended, Held, WatchSide};
use crate::capture::clock::Clock;
use crate::capture::ebpf::Loaded;
use crate::capture::ptrace::{
    Change, Ending, Engine, PendingLocks, Plan, Rounds, SeenSignals, Spawned, Start, Told, WhyNot,
    spawn, sys,
};
use crate::capture::queue::{EventReceiver, EventSender, queue};
use gmtrace_core::event::{Event, What};
use gmtrace_core::units::Pid;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs the tracer's part. Every signal is blocked here: what a terminal or a group sends is for the command.
pub(super) fn run<W>(
    plan: &Plan,
    mut probes: Option<Loaded>,
    clock: Clock,
    link: Link,
    front: i32,
    watch: W,
) -> !
where
    W: FnOnce(WatchSide) + Send + 'static,
{
    sys::expect_children();
    sys::die_of_own_faults();
    let teller = Teller::new(link, front);
    let follow = |pid| {
        if let Some(Err(why)) = probes.as_mut().map(|probes| probes.follow(Pid(pid))) {
            tracing::warn!("{why}");
        }
    };
    match spawn(plan, follow) {
        Ok(spawned) => {
            sys::let_go_of_files(false);
            attend(plan, clock, (spawned, probes), teller, watch);
            sys::exit_now(0)
        }
        Err(errno) => {
            teller.link.send(&ToFront::Failed(errno as i32));
            sys::exit_now(125)
        }
    }
}

fn attend<W>(
    plan: &Plan,
    clock: Clock,
    (spawned, probes): (Spawned, Option<Loaded>),
    teller: Teller,
    watch: W,
) where
    W: FnOnce(WatchSide) + Send + 'static,
{
    let (sender, events) = queue(ROOM);
    let run = Run::new(clock, &teller.link, events);
    if let Err(why) = spawned.traced.clone() {
        let report = spawned.report();
        let by = untraced::By { probes, why, follow_children: plan.follow_children };
        return untraced::attend(run, spawned, report, (sender, teller), by, watch);
    }
    let told = Told {
        events: sender.clone(),
        command: teller.clone().closure(),
        locks: run.locks.clone(),
        signals: run.signals.clone(),
        rounds: run.rounds.clone(),
        stops: Arc::clone(&run.stops),
        clock,
    };
    let mut engine = Engine::new(plan, spawned.pid, told);
    match engine.until_started(&spawned) {
        Start::Running(report) if report.filter != 0 => {
            let why = WhyNot::FilterRefused { errno: report.filter };
            drop(engine);
            let by = untraced::By { probes: None, why, follow_children: plan.follow_children };
            untraced::attend(run, spawned, report, (sender, teller), by, watch);
        }
        Start::Running(report) => {
            note(&sender, clock, spawned.pid, report.no_new_privs.then(|| NO_NEW_PRIVS.to_owned()));
            note_foreign_proc(&sender, clock, spawned.pid);
            drop(sender);
            let rounds = run.rounds.clone();
            let seen =
                Seen { signals: run.signals.clone(), until_now: Box::new(move || rounds.wait()) };
            let companions =
                run.begin(spawned, Capture::Ptrace, report.no_new_privs, Some(seen), watch);
            sys::install_alarm();
            teller.link.send(&ToFront::Started(0));
            if catch_unwind(AssertUnwindSafe(|| engine.run())).is_err() {
                engine.serve();
            }
            drop(engine);
            companions.wait();
        }
        Start::Failed(report) => teller.not_started(report.user, report.exec),
        Start::Ended(ending) => teller.link.send(&ToFront::Ended(ending.into())),
    }
}

/// Events that may wait for the watch: what comes in a tenth of a second at the worst.
const ROOM: usize = 16 * 1024;

/// What is said once where it had to be.
const NO_NEW_PRIVS: &str =
    "no_new_privs had to be set: set-user-ID programs that the command runs gain no privileges";

/// Likewise.
const FOREIGN_PROC: &str = "/proc shows another pid namespace, so what is said of programs, files and sockets may be about other \
    processes: mount it anew (unshare --mount-proc)";

/// Says so where `/proc` is another namespace's.
pub(super) fn note_foreign_proc(events: &EventSender, clock: Clock, pid: i32) {
    note(events, clock, pid, sys::proc_is_foreign().then(|| FOREIGN_PROC.to_owned()));
}

/// Says a sentence for the report.
pub(super) fn note(events: &EventSender, clock: Clock, pid: i32, text: Option<String>) {
    if let Some(text) = text {
        let pid = Pid(pid);
        // The watch has not begun, so the receiver is there.
        _ = events.send(Event { t: clock.now(), pid, tid: pid.into(), what: What::Note { text } });
    }
}

/// What belongs to one run, before the watch has it.
pub(super) struct Run {
    pub(super) clock: Clock,
    link: Arc<Link>,
    events: EventReceiver,
    pub(super) locks: PendingLocks,
    pub(super) signals: SeenSignals,
    rounds: Rounds,
    stops: Arc<AtomicU64>,
}

impl Run {
    fn new(clock: Clock, link: &Arc<Link>, events: EventReceiver) -> Run {
        Run {
            clock,
            link: Arc::clone(link),
            events,
            locks: PendingLocks::default(),
            signals: SeenSignals::default(),
            rounds: Rounds::default(),
            stops: Arc::default(),
        }
    }

    /// The command runs: starts the watch and the thread that listens to the front.
    pub(super) fn begin<W>(
        self,
        spawned: Spawned,
        capture: Capture,
        no_new_privs: bool,
        seen: Option<Seen>,
        watch: W,
    ) -> Companions
    where
        W: FnOnce(WatchSide) + Send + 'static,
    {
        let Spawned { pid, .. } = spawned;
        let process = Arc::new(Held::child(Pid(pid)));
        let forwarder = Forwarder { seen, process: Arc::clone(&process), pid };
        let side = WatchSide {
            events: self.events,
            command: Command { pid: Pid(pid), process },
            capture,
            no_new_privs,
            locks: self.locks,
            stops: self.stops,
            front: front_side(&self.link),
            clock: self.clock,
        };
        Companions::start(side, forwarder, &self.link, watch)
    }
}

/// Tells the front what becomes of the command.
#[derive(Clone)]
pub(super) struct Teller {
    pub(super) link: Arc<Link>,
    front: Option<Arc<Held>>,
    /// The front has been stopped with the command.
    stopped: Arc<AtomicBool>,
}

impl Teller {
    fn new(link: Link, front: i32) -> Teller {
        let front = Held::open(Pid(front)).ok().map(Arc::new);
        Teller { link: Arc::new(link), front, stopped: Arc::default() }
    }

    fn closure(self) -> Box<dyn FnMut(Change)> {
        Box::new(move |change| self.tell(change))
    }

    /// The front is stopped and continued in the order in which the command is (see `Front::stop`).
    pub(super) fn tell(&self, change: Change) {
        let was_stopped =
            self.stopped.swap(matches!(change, Change::Stopped(_)), Ordering::Relaxed);
        match change {
            Change::Stopped(libc::SIGSTOP) => self.signal_front(libc::SIGSTOP),
            Change::Stopped(signal) => self.link.send_soon(ToFront::Stopped(signal)),
            Change::Continued => {
                self.link.send_soon(ToFront::Continued);
                self.signal_front(libc::SIGCONT);
            }
            Change::Ended(ending) => {
                self.link.send_soon(ToFront::Ended(ending.into()));
                if was_stopped {
                    self.signal_front(libc::SIGCONT); // SIGKILL ends a stopped command too.
                }
            }
        }
    }

    fn signal_front(&self, signal: i32) {
        if let Some(front) = &self.front {
            _ = front.kill(signal); // Gone: nobody waits any more.
        }
    }

    /// The command did not become its own program.
    pub(super) fn not_started(&self, user: i32, exec: i32) {
        self.link.send(&match (user, exec) {
            (0, exec) => ToFront::NotRun(exec),
            (user, _) => ToFront::Failed(user),
        });
    }
}

impl From<Ending> for Ended {
    fn from(ending: Ending) -> Ended {
        match ending {
            Ending::Code(code) => Ended::Code(code),
            Ending::Signal(signal) => Ended::Signal(signal),
        }
    }
}
