//! The watch of a launch: takes events in, reads `/proc` where nothing moves, speaks, and writes. It runs beside the ptrace
//! thread and may be slow; what may block has a thread of its own.

use super::collector::{Collector, Request, read_settings};
use super::limits::{Act, Limits};
use super::plan::is_recording;
use super::privileges::{self, Privileges};
use super::tree;
use super::writing::{Writing, Written};
use crate::cli::RunOptions;
use crate::output::files::Target;
use crate::output::kept;
use crate::output::recording::{RecordingPlan, Writers};
use crate::output::screen::{Screen, clear_live_line};
use gmtrace::capture::gosettings::Started;
use gmtrace::capture::proc::{
    SnapshotWants, Watch as DestroyedWatch, still_in_lock, watch_destroyed,
};
use gmtrace::launch::WatchSide;
use gmtrace_core::event::{
    Backend, End, EndTag, EndedBy, Event, Exec, Exit, Header, KnownBy, ProcessRole, Snapshot,
    SnapshotCause, What,
};
use gmtrace_core::report::message::{self, Closing, Context, Offers, Outputs};
use gmtrace_core::report::{FindingState, Frame, Report, live};
use gmtrace_core::text::Escaped;
use gmtrace_core::units::{Inode, Nanos, Pid};
use gmtrace_core::watch::{Say, Watch};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Counters are read this often.
const SAMPLE_EVERY: Nanos = Nanos::from_millis(250);
/// A lock request that has not ended after this long is looked up in `/proc`.
const LOCK_LOOK: Nanos = Nanos::from_millis(50);
/// A thread that was out of the call for this long has left it.
const LOCK_LEFT: Nanos = Nanos::from_millis(20);
/// What may block is waited for this long.
const BOUND: Duration = Duration::from_secs(1);
/// While a stall lasts and there is no terminal, a line a minute.
const REMIND_EVERY: Nanos = Nanos::from_secs(60);
/// So many descriptors of a process are looked at.
const DESCRIPTORS: usize = 64;
/// The live line is drawn after this much silence, and this often.
const QUIET: Nanos = Nanos::from_secs(1);

/// A watch that has been planned.
pub struct Watching {
    options: RunOptions,
    header: Header,
    targets: Vec<Target>,
    started: Started,
    screen: Screen,
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
    asked: Option<(SnapshotCause, Nanos)>,
    /// A sample that has not come yet.
    sampling: bool,
    ending: Option<i32>,
    sampled: Nanos,
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
        Watching { options, header, targets, started, screen }
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
        self.header.backend = backend(&self.options, &side);
        let (sink, readings) = channel();
        let clock = side.clock;
        let destroyed = watch_destroyed(sink.clone(), move || clock.now(), |_, _| true);
        if let Err(error) = destroyed.as_ref() {
            self.header.backend.unseen.push(format!("the last bytes of each connection ({error})"));
        }
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
            reminded: Nanos(0),
            spoke: Nanos(0),
            within_line: false,
            resumed: Nanos(0),
            privileges,
            told_privileges: false,
            started: Some(self.started),
            strangers: HashSet::new(),
            left_locks: HashMap::new(),
            exit: None,
        }
    }
}

/// What captures, and what it cannot see.
fn backend(options: &RunOptions, side: &WatchSide) -> Backend {
    let mut unseen = Vec::new();
    match &side.capture {
        Ok(()) => {
            if !options.exact_reads {
                unseen.push("single reads: bytes come from the kernel's TCP counters".to_owned());
            }
            unseen.push("requests inside TLS, and goroutines".to_owned());
            if side.no_new_privs {
                unseen.push(
                    "setuid programs below the command run without their privileges".to_owned(),
                );
            }
            Backend { name: "ptrace".to_owned(), why: "it needs no privilege".to_owned(), unseen }
        }
        Err(why) => {
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
        if let Err(why) = &self.side.capture {
            let asked = matches!(why, gmtrace::capture::ptrace::WhyNot::NotAsked);
            if !asked {
                let said = self.watch.session.header.backend.why.clone();
                self.screen.say(&format!(
                    "gmtrace: cannot trace ({said}); the command runs all the same, watched through /proc alone."
                ));
            }
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
            std::thread::sleep(pause(now));
        }
    }

    /// Takes in what the backend said; whether that was all.
    fn take_events(&mut self) -> bool {
        loop {
            match self.side.events.try_recv() {
                Ok(event) => self.take(event),
                Err(TryRecvError::Empty) => {
                    return self.exit.is_some() && self.side.capture.is_err();
                }
                Err(TryRecvError::Disconnected) => return true,
            }
        }
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
            What::Snapshot(snapshot) => self.read_settings_outside(snapshot),
            _ => {}
        }
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
            read_settings(pid, started, self.side.clock, self.sink.clone());
        }
    }

    /// A go command that holds a lock, or waits in front of one, may have other settings than those of the tree.
    fn read_settings_outside(&mut self, snapshot: &Snapshot) {
        let strangers =
            snapshot.processes.iter().filter(|p| !p.in_tree && p.role == ProcessRole::Go);
        for stranger in strangers {
            if self.strangers.insert(stranger.pid) {
                read_settings(stranger.pid, None, self.side.clock, self.sink.clone());
            }
        }
    }

    /// Reads what may have moved; and everything, where nothing has.
    fn look(&mut self, now: Nanos) {
        self.look_at_locks(now);
        // A /proc that does not answer is asked once, not once more every time.
        if now.since(self.sampled) >= SAMPLE_EVERY && !self.sampling {
            self.sampled = now;
            self.sampling = true;
            self.collector.ask(Request::Sample { pids: self.pids(), sockets: self.sockets() });
        }
        if let Some((cause, since)) = self.asked {
            if now.since(since) > super::plan::nanos(BOUND) {
                self.asked = None;
                self.without_snapshot(cause, now);
            }
            return;
        }
        if let Some(cause) = self.watch.due(now) {
            self.ask(cause, now);
        }
    }

    fn ask(&mut self, cause: SnapshotCause, now: Nanos) {
        self.asked = Some((cause, now));
        self.collector.ask(Request::Snapshot {
            cause,
            root: self.side.command.pid(),
            known: self.pids(),
            wants: self.wants(cause),
        });
    }

    /// `/proc` itself did not answer: what is known has to do.
    fn without_snapshot(&mut self, cause: SnapshotCause, now: Nanos) {
        let snapshot = Snapshot {
            cause,
            unseen: vec!["a reading of /proc did not come back within 1 s".to_owned()],
            ..Default::default()
        };
        let what = What::Snapshot(Box::new(snapshot));
        self.take(Event { t: now, pid: Pid(0), tid: Pid(0).into(), what });
    }

    fn wants(&self, cause: SnapshotCause) -> SnapshotWants {
        let settings = self.watch.session.settings_for(self.side.command.pid());
        let place = |purpose: &str, name: &str| {
            let path = settings?.env.get(name)?.value.clone();
            path.starts_with('/').then(|| (purpose.to_owned(), path))
        };
        let mut filesystems: Vec<_> =
            [place("module cache", "GOMODCACHE"), place("build cache", "GOCACHE")]
                .into_iter()
                .flatten()
                .collect();
        filesystems.push(("working directory".to_owned(), self.watch.session.header.cwd.clone()));
        SnapshotWants { filesystems, scan_machine: cause == SnapshotCause::Confirm }
    }

    fn pids(&self) -> Vec<Pid> {
        let mut pids: Vec<Pid> = self.watch.session.processes.keys().copied().collect();
        if !pids.contains(&self.side.command.pid()) {
            pids.push(self.side.command.pid());
        }
        pids
    }

    /// The sockets whose counters matter; without ptrace they are not known and have to be looked for.
    fn sockets(&self) -> Option<HashSet<Inode>> {
        self.side.capture.is_ok().then(|| {
            let open =
                self.watch.session.connections.iter().filter(|c| c.closed.is_none() && !c.is_dns());
            open.filter_map(|c| c.socket).collect()
        })
    }

    /// The end of a lock request is not trapped: the thread is found elsewhere. Twice, because a thread that is woken by a signal
    /// runs for a moment and then waits on, or ends.
    fn look_at_locks(&mut self, now: Nanos) {
        let pending = self.side.locks.list();
        self.left_locks.retain(|id, _| pending.iter().any(|lock| lock.id == *id));
        for lock in pending.iter().filter(|lock| now.since(lock.since) >= LOCK_LOOK) {
            if still_in_lock(lock.pid, lock.tid) != Some(false) {
                self.left_locks.remove(&lock.id);
                continue;
            }
            let first = *self.left_locks.entry(lock.id).or_insert(now);
            if now.since(first) < LOCK_LEFT {
                continue;
            }
            if let Some(lock) = self.side.locks.take(lock.id) {
                self.take(lock.ended(first, None, KnownBy::Sampled));
            }
        }
    }

    fn obey_limits(&mut self, now: Nanos) {
        let still = self.still(now);
        match self.limits.due(now, still) {
            Some(Act::ReportAndSend(signal)) => {
                self.ending = Some(signal);
                self.ask(SnapshotCause::Asked, now);
            }
            Some(Act::Kill) => self.end_command(libc::SIGKILL),
            None => {}
        }
        if let (None, Some(signal)) = (self.asked, self.ending) {
            self.ending = None;
            self.report_limit();
            self.end_command(signal);
        }
    }

    /// For how long nothing has moved. While the user keeps the command suspended, nothing can.
    fn still(&self, now: Nanos) -> Nanos {
        if self.is_suspended() {
            return Nanos(0);
        }
        let moved = self.watch.session.movement.last_moved(self.side.command.pid());
        now.since(moved.max(self.resumed))
    }

    /// Whether the command is stopped as a terminal stops it (Ctrl-Z, or a use of the terminal from the background).
    fn is_suspended(&self) -> bool {
        let process = self.watch.session.processes.get(&self.side.command.pid());
        let signal = process.and_then(|p| p.stopped.as_ref()).map(|(_, signal)| signal.as_str());
        matches!(signal, Some("SIGTSTP" | "SIGTTIN" | "SIGTTOU"))
    }

    /// Says why the command is ended now.
    fn report_limit(&mut self) {
        let option = match self.limits.reached() {
            Some(EndedBy::StallTimeout) => "--stall-timeout",
            _ => "--timeout",
        };
        self.screen.say(&format!("gmtrace: ending the command ({option})."));
        self.writer.keep();
        self.write_targets();
    }

    /// Signals the command and what runs below it. The front is told at once what that makes of the status.
    fn end_command(&mut self, signal: i32) {
        let root = self.side.command.pid();
        let session = &self.watch.session;
        let known = session.processes.values();
        let known = known.filter(|p| p.ended.is_none() && session.is_below(p.pid, root));
        let (spared, known): (Vec<_>, Vec<_>) = known.partition(|p| p.is_telemetry());
        let known = known.into_iter().map(|p| p.pid).collect();
        let spared = spared.into_iter().map(|p| p.pid).collect();
        if tree::signal(&self.side.command, known, &spared, signal) {
            self.limits.has_sent(signal, self.side.clock.now());
        }
        if let Some(status) = self.limits.status() {
            self.side.front.status(status);
        }
    }

    fn say(&mut self, say: Say) {
        let now = self.side.clock.now();
        match say {
            Say::Stalled(finding) => {
                self.writer.keep();
                let style = self.screen.style();
                let offers = Offers { report: kept::dir().is_some(), attach: false, doctor: false };
                let context = Context {
                    width: style.width.min(100),
                    color: style.palette,
                    prefix: message::PREFIX,
                    closing: Closing::More(message::hint(&finding, offers)),
                };
                self.screen.say(&message::stall(&finding, &context));
                self.reminded = now;
                self.write_targets();
            }
            Say::MovingAgain { finding, lasted, came: true } => {
                self.screen.say(&message::moving_again(&finding, lasted));
            }
            Say::MovingAgain { lasted, .. } => self.screen.say(&message::moves_again(lasted)),
        }
        self.spoke = now;
    }

    /// Without a terminal: a line a minute while a stall lasts.
    fn remind(&mut self, now: Nanos) {
        if self.screen.is_terminal() || now.since(self.reminded) < REMIND_EVERY {
            return;
        }
        if let Some((since, Some(finding))) = self.watch.stalled_now() {
            let line = message::still_waiting(finding, now.since(since));
            self.screen.say(&line);
            self.reminded = now;
        }
    }

    fn draw(&mut self, now: Nanos) {
        if self.options.quiet || now.since(self.spoke) < QUIET || !self.screen.can_draw() {
            return;
        }
        self.spoke = now;
        // Without ptrace it is not known when the command writes.
        if self.side.capture.is_err() || self.within_line || self.terminal_is_taken() {
            return;
        }
        let line = live::live_line(&self.live_state(now), self.screen.style().width);
        self.screen.draw(&line);
    }

    /// Whether something in the tree reads from the terminal, or has opened it for itself, as what asks for a password does: a
    /// prompt must not be written over.
    fn terminal_is_taken(&self) -> bool {
        let living = self.watch.session.processes.values().filter(|p| p.ended.is_none());
        living.take(64).any(|p| reads_terminal(p.pid) || has_opened_terminal(p.pid))
    }

    /// Whom the command waits for, and how long.
    fn awaited(&self, now: Nanos) -> Option<(String, Nanos)> {
        let session = &self.watch.session;
        if let Some((since, Some(finding))) = self.watch.stalled_now() {
            return Some((message::awaited(finding)?, now.since(since)));
        }
        if let Some(lookup) = session.lookups.iter().find(|l| !l.is_over()) {
            return Some((format!("name server ({})", lookup.name), now.since(lookup.since)));
        }
        if let Some(lock) = session.locks.iter().find(|l| l.ended.is_none()) {
            let name = lock.path.rsplit('/').next().unwrap_or(&lock.path);
            return Some((format!("lock {name}"), now.since(lock.since)));
        }
        let waiting = session.open_waits().min_by_key(|c| c.waiting_since())?;
        let name = session.names_of(waiting.peer.ip()).last().cloned();
        let whom = waiting.asked_host().or(name).unwrap_or_else(|| waiting.peer.ip().to_string());
        Some((whom, now.since(waiting.waiting_since())))
    }

    fn live_state(&self, now: Nanos) -> live::LiveState {
        let session = &self.watch.session;
        let bytes = session
            .connections
            .iter()
            .filter(|c| !c.exact)
            .map(|c| c.bytes_received())
            .sum::<u64>();
        live::LiveState {
            elapsed: now,
            modules_done: session.modules_locked.len() as u64,
            modules_in_flight: 0,
            bytes: bytes + session.bytes_closed,
            waiting: self.awaited(now),
        }
    }

    fn frame(&self) -> Frame {
        Frame {
            observed_at: jiff::Timestamp::now().to_string(),
            now: self.side.clock.now(),
            stops: self.side.stops.load(std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// Writes the files that `-o` names, while the command runs; streams are written to once, at the end.
    fn write_targets(&self) {
        let _told_at_the_end =
            Writing::start(self.due(false), || self.report()).wait(Instant::now() + BOUND);
    }

    /// The targets that are no recordings: files, or streams.
    fn due(&self, direct: bool) -> Vec<Target> {
        let due = self.targets.iter().filter(|t| !is_recording(t) && t.is_direct() == direct);
        due.cloned().collect()
    }

    fn report(&self) -> Report {
        gmtrace_core::report::report(&self.watch, &self.frame())
    }

    fn finish(mut self) {
        if let Some(destroyed) = self.destroyed.take() {
            destroyed.finish();
        }
        self.take_readings();
        let now = self.side.clock.now();
        let failed = self.exit.as_ref().is_none_or(|e| *e != Exit::Code(0));
        if failed {
            self.last_snapshot(now);
        }
        let ended_by = self.limits.ended_by().or(match &self.exit {
            Some(Exit::Signal(signal)) if signal == "SIGINT" => Some(EndedBy::Interrupt),
            Some(Exit::Signal(_)) => Some(EndedBy::Signal),
            Some(Exit::Code(_)) => Some(EndedBy::Exit),
            None => None,
        });
        let lost = self.watch.session.losses.values().sum();
        let end = End { r#type: EndTag::End, t: now, exit: self.exit.clone(), ended_by, lost };
        self.watch.finish(end.clone());
        let stalled = !self.watch.stalls.is_empty();
        let stall_status = self.options.fail_on_stall.filter(|_| stalled && !failed);
        // Before anything that may take long; that of a limit was told when it was reached.
        if let Some(status) = stall_status.filter(|_| self.limits.status().is_none()) {
            self.side.front.status(status);
        }
        let findings = self.watch.findings();
        let worth = stalled || failed && findings.iter().any(|f| f.state != FindingState::Notice);
        // All at once, so that together they take no longer than one of them may.
        let deadline = Instant::now() + BOUND;
        let mut streams = Writing::start(self.due(true), || self.report());
        let mut files = Writing::start(self.due(false), || self.report());
        let outcome =
            std::mem::replace(&mut self.writer, Writers::none()).finish(&end, worth, BOUND);
        let Written { mut files, mut problems } = files.wait(deadline);
        let to_streams = streams.wait(deadline);
        files.extend(to_streams.files);
        files.extend(outcome.written.iter().map(|p| Escaped(&p.to_string_lossy()).to_string()));
        problems.extend(to_streams.problems);
        problems.extend(outcome.problems);
        for problem in &problems {
            self.screen.say(&format!("gmtrace: {problem}"));
        }
        self.last_line(&files, outcome.kept.is_some());
        self.screen.finish(BOUND);
        self.side.front.done();
        streams.go_on();
    }

    fn last_snapshot(&mut self, now: Nanos) {
        self.ask(SnapshotCause::End, now);
        let deadline = Instant::now() + BOUND;
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok(event) = self.readings.recv_timeout(left()) {
            let last = matches!(&event.what, What::Snapshot(s) if s.cause == SnapshotCause::End);
            self.take(event);
            if last {
                return;
            }
        }
    }

    fn last_line(&mut self, files: &[String], kept: bool) {
        clear_live_line();
        if self.options.quiet {
            return;
        }
        let report = self.report();
        let outputs = Outputs { files, kept: kept.then_some("gmtrace report") };
        self.screen.say(&message::end_line(&report, outputs));
    }
}

/// Events are taken this often. A command that ends at once is noticed at once; a long run is not disturbed by a watch that
/// wakes all the time.
fn pause(now: Nanos) -> Duration {
    Duration::from_nanos(now.0 / 50).clamp(Duration::from_micros(500), Duration::from_millis(10))
}

/// Whether the first thread of `pid` sits in a read of a terminal.
fn reads_terminal(pid: Pid) -> bool {
    let Ok(call) = std::fs::read_to_string(format!("/proc/{pid}/syscall")) else { return false };
    let mut words = call.split_whitespace();
    let is_read = words.next().and_then(|n| n.parse::<i64>().ok()) == Some(libc::SYS_read);
    let fd = words.next().and_then(|a| i64::from_str_radix(a.trim_start_matches("0x"), 16).ok());
    let Some(fd) = fd.filter(|_| is_read) else { return false };
    is_terminal(Path::new(&format!("/proc/{pid}/fd/{fd}")))
}

/// Whether a terminal is behind a descriptor other than the three that are inherited.
fn has_opened_terminal(pid: Pid) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<i32>().ok();
    let paths = descriptors.take(DESCRIPTORS).flatten().map(|entry| entry.path());
    paths.filter(|path| number(path).is_some_and(|n| n > 2)).any(|path| is_terminal(&path))
}

/// The link is read, not followed: nothing is opened.
fn is_terminal(descriptor: &Path) -> bool {
    std::fs::read_link(descriptor)
        .is_ok_and(|target| target.starts_with("/dev/pts") || target.starts_with("/dev/tty"))
}
