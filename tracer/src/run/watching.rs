//! The watch of a launch: takes events in, reads `/proc` where nothing moves, speaks, and writes. It runs beside the ptrace
//! thread and may be slow; what may block has a thread of its own.

mod ending;
mod looking;
mod narrating;
mod reporting;
mod speaking;

use super::collector::{Collector, Reading, read_settings};
use super::limits::Limits;
use super::plan::is_recording;
use super::privileges::{self, Privileges};
use crate::cli::RunOptions;
use crate::output::files::Target;
use crate::output::kept;
use crate::output::recording::{RecordingPlan, Writers};
use crate::output::screen::{Screen, clear_live_line};
use gmtrace::bounded::Patience;
use gmtrace::capture::ebpf;
use gmtrace::capture::gosettings::Started;
use gmtrace::capture::proc::{Watch as DestroyedWatch, watch_destroyed};
use gmtrace::capture::ptrace::WhyNot;
use gmtrace::launch::{Capture, WatchSide};
use gmtrace_core::event::{
    Backend, Event, Exec, Exit, Header, ProcessRole, Snapshot, SnapshotCause, What,
};
use gmtrace_core::text::Escaped;
use gmtrace_core::units::{Nanos, Pid};
use gmtrace_core::watch::Watch;
use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Settings are waited for this long before a snapshot is judged without them.
const SETTINGS: Duration = Duration::from_millis(300);
/// What may block is waited for this long.
const BOUND: Duration = Duration::from_secs(1);

/// A watch that has been planned.
pub struct Watching {
    options: RunOptions,
    header: Header,
    targets: Vec<Target>,
    started: Started,
    screen: Screen,
    without_probes: Option<ebpf::Refusal>,
}

/// A watch that runs.
struct Running {
    options: RunOptions,
    targets: Vec<Target>,
    screen: Screen,
    side: WatchSide,
    watch: Watch,
    writer: Writers,
    collector: Collector,
    readings: Receiver<Event>,
    sink: Sender<Event>,
    limits: Limits,
    destroyed: Option<DestroyedWatch>,
    asked: Option<(SnapshotCause, Patience)>,
    /// A sample that has not come yet.
    sampling: bool,
    ending: Option<i32>,
    sampled: Nanos,
    /// When goroutines were last asked for.
    worked: Nanos,
    reminded: Nanos,
    spoke: Nanos,
    /// The command has written a part of a line: what follows belongs behind it.
    within_line: bool,
    /// When the command last ran again after it had been suspended.
    resumed: Nanos,
    privileges: Option<Privileges>,
    told_privileges: bool,
    /// The command, until its first program has begun.
    started: Option<Started>,
    strangers: HashSet<Pid>,
    /// Settings of go commands that are being read.
    settings: Vec<Reading>,
    left_locks: HashMap<u64, Nanos>,
    exit: Option<Exit>,
}

impl Watching {
    /// Takes hold of standard error before the command runs.
    pub fn new(
        options: RunOptions,
        header: Header,
        targets: Vec<Target>,
        started: Started,
    ) -> Watching {
        let screen = Screen::new(&options.look);
        Watching { options, header, targets, started, screen, without_probes: None }
    }

    /// Says why eBPF is not used, where that was to be tried.
    pub fn without(mut self, why: Option<ebpf::Refusal>) -> Watching {
        self.without_probes = why;
        self
    }

    /// Watches until the command has ended, and tells the front.
    pub fn run(self, side: WatchSide) {
        let mut running = self.start(side);
        running.watch_until_the_end();
        running.finish();
    }

    fn start(mut self, side: WatchSide) -> Running {
        let pid = side.command.pid();
        self.header.pid = pid;
        self.header.backend = backend(&self.options, &side, self.without_probes.as_ref());
        if let Some(why) = self.without_probes.as_ref().filter(|why| why.is_surprising()) {
            let name = &self.header.backend.name;
            self.screen.say(&format!("gmtrace: watching by {name}: {why}."));
        }
        let (sink, readings) = channel();
        let clock = side.clock;
        let destroyed = watch_destroyed(sink.clone(), move || clock.now(), |_, _| true);
        if let Err(error) = destroyed.as_ref() {
            self.header.backend.unseen.push(format!("the last bytes of each connection ({error})"));
        }
        narrating::backend(&self.header.backend);
        let targets: Vec<Target> = self.targets.iter().map(|t| t.for_pid(pid.0)).collect();
        let writer = Writers::start(RecordingPlan {
            header: self.header.clone(),
            files: targets.iter().filter(|t| is_recording(t)).map(|t| t.path.clone()).collect(),
            state_dir: kept::dir(),
        });
        let limits = Limits::new(&self.options);
        let collector = Collector::start(clock, sink.clone());
        let privileges = side.no_new_privs.then(|| Privileges::watch(clock, sink.clone()));
        Running {
            watch: Watch::new(self.header),
            options: self.options,
            targets,
            screen: self.screen,
            side,
            writer,
            collector,
            readings,
            sink,
            limits,
            destroyed: destroyed.ok(),
            asked: None,
            sampling: false,
            ending: None,
            sampled: Nanos(0),
            worked: Nanos(0),
            reminded: Nanos(0),
            spoke: Nanos(0),
            within_line: false,
            resumed: Nanos(0),
            privileges,
            told_privileges: false,
            started: Some(self.started),
            strangers: HashSet::new(),
            settings: Vec::new(),
            left_locks: HashMap::new(),
            exit: None,
        }
    }
}

/// What captures, and what it cannot see.
fn backend(options: &RunOptions, side: &WatchSide, without: Option<&ebpf::Refusal>) -> Backend {
    let mut unseen = Vec::new();
    match &side.capture {
        Capture::Ebpf { unseen: untold } => {
            unseen.push(
                "what programs other than go write to standard error, and their attempts to connect \
                 where there is no route"
                    .to_owned(),
            );
            unseen.extend(untold.iter().cloned());
            let why = "it stops nothing, and it is permitted here".to_owned();
            Backend { name: "ebpf".to_owned(), why, unseen }
        }
        Capture::Ptrace => {
            if !options.exact_reads {
                unseen.push("single reads: bytes come from the kernel's TCP counters".to_owned());
            }
            unseen.push(
                "requests inside TLS, but for those that goroutines wait for when they are read"
                    .to_owned(),
            );
            if side.no_new_privs {
                unseen.push(
                    "setuid programs below the command run without their privileges".to_owned(),
                );
            }
            let mut why = "it needs no privilege".to_owned();
            if let Some(without) = without {
                why = format!("{why}; {without}");
            }
            Backend { name: "ptrace".to_owned(), why, unseen }
        }
        Capture::Proc(why) => {
            unseen.push("connects, look-ups and locks as they happen".to_owned());
            let mut why_said = why.to_string();
            if let Some(remedy) = why.remedy() {
                why_said = format!("{why_said}; try: {remedy}");
            }
            Backend { name: "proc".to_owned(), why: why_said, unseen }
        }
    }
}

impl Running {
    fn watch_until_the_end(&mut self) {
        if matches!(&self.side.capture, Capture::Proc(why) if *why != WhyNot::NotAsked) {
            let said = self.watch.session.header.backend.why.clone();
            self.screen.say(&format!(
                "gmtrace: cannot trace ({said}); the command runs all the same, watched through /proc alone."
            ));
        }
        loop {
            let over = self.take_events();
            let now = self.side.clock.now();
            self.take_readings();
            if over {
                return;
            }
            self.look(now);
            self.obey_limits(now);
            self.remind(now);
            self.draw(now);
            self.rest();
        }
    }

    fn rest(&mut self) {
        let began = self.side.clock.now();
        let time = pause(began);
        self.side.events.rest(time);
        if let Some(lapse) = self.side.clock.lapse(began, time) {
            self.take(lapse);
        }
    }

    /// Takes in what the backend said; whether that was all.
    fn take_events(&mut self) -> bool {
        let batch = self.side.events.take();
        for event in batch.events {
            self.take(event);
        }
        batch.over || self.exit.is_some() && matches!(self.side.capture, Capture::Proc(_))
    }

    fn take_readings(&mut self) {
        while let Ok(event) = self.readings.try_recv() {
            if let (What::Snapshot(snapshot), Some((cause, _))) = (&event.what, self.asked) {
                self.asked = self.asked.filter(|_| cause != snapshot.cause);
            }
            self.sampling &= !matches!(event.what, What::Sample(_));
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match &event.what {
            What::Exec(exec) => self.program_began(event.pid, exec),
            What::Note { text } if text.contains(privileges::FOUND) && !self.told_privileges => {
                self.told_privileges = true;
                self.screen.say(&format!("gmtrace: {}.", Escaped(text)));
            }
            What::ProcessExit { exit, .. } if event.pid == self.side.command.pid() => {
                self.exit = Some(exit.clone());
            }
            What::Output { text, truncated, .. } => {
                self.spoke = event.t;
                // The end of what was cut off is not known.
                self.within_line = *truncated || !text.ends_with('\n');
            }
            What::Stopped { .. } if event.pid == self.side.command.pid() => clear_live_line(),
            What::Continued if event.pid == self.side.command.pid() && self.is_suspended() => {
                self.resumed = event.t;
            }
            What::Snapshot(snapshot) => {
                self.read_settings_outside(snapshot);
                self.await_settings();
            }
            _ => {}
        }
        narrating::event(&event);
        let said = self.watch.observe(&event);
        self.writer.send(event);
        for say in said {
            self.say(say);
        }
    }

    fn program_began(&mut self, pid: Pid, exec: &Exec) {
        if let Some(privileges) = &self.privileges {
            privileges.ran(pid, &exec.exe);
        }
        let first = self.started.take().filter(|_| pid == self.side.command.pid());
        if exec.role == ProcessRole::Go && !exec.telemetry {
            let started = first.map(|s| Started { exe: exec.exe.clone(), ..s });
            self.read_settings(pid, started);
        }
    }

    fn read_settings(&mut self, pid: Pid, started: Option<Started>) {
        self.settings.retain(|reading| !reading.is_over());
        self.settings.push(read_settings(pid, started, self.side.clock, self.sink.clone()));
    }

    /// What a stranger's connection is for hangs on the stranger's settings: they come before what it waits for.
    fn await_settings(&mut self) {
        let mut patience = Patience::new(SETTINGS);
        self.settings.iter().for_each(|reading| reading.wait(&mut patience));
        self.take_readings();
    }

    /// A go command that holds a lock, or waits in front of one, may have other settings than those of the tree. One of the tree
    /// whose beginning was lost has not been asked for its own.
    fn read_settings_outside(&mut self, snapshot: &Snapshot) {
        let session = &self.watch.session;
        let go = snapshot.processes.iter().filter(|p| p.role == ProcessRole::Go);
        let lost = session.lost_events().next().is_some();
        let known = |pid| session.process(pid).is_some_and(|p| p.role() == ProcessRole::Go);
        let strangers: Vec<Pid> =
            go.filter(|p| !p.in_tree || lost && !known(p.pid)).map(|p| p.pid).collect();
        for stranger in strangers {
            if self.strangers.insert(stranger) {
                self.read_settings(stranger, None);
            }
        }
    }
}

/// Events are taken this often, and when the command has ended: a long run is not disturbed by a watch that wakes all the time.
fn pause(now: Nanos) -> Duration {
    Duration::from_nanos(now.0 / 50).clamp(Duration::from_micros(500), Duration::from_millis(10))
}
