//! A look into what runs already: an answer at once, a second reading a second later, and with `--watch` all that follows.

use super::following::Following;
use super::shown::Shown;
use super::{NOTHING, is_text, refuse};
use crate::cli::{AttachOptions, BackendChoice, Format, RunOptions};
use crate::output::files::Target;
use crate::output::recording::{RecordingPlan, Writers};
use crate::output::screen;
use crate::run::plan::{host, is_recording, nanos};
use crate::run::writing::{Writing, Written};
use gmtrace::attach::{Begun, Observer, refusal};
use gmtrace::capture::clock::Clock;
use gmtrace::capture::proc::SnapshotWants;
use gmtrace::launch::{Told, when_told_to_end};
use gmtrace_core::event::{
    Backend, End, EndTag, EndedBy, Event, Exit, Header, HeaderTag, Mode, RECORDING_SCHEMA, Record,
    SnapshotCause, What,
};
use gmtrace_core::report::{Frame, Report, message};
use gmtrace_core::text::Escaped;
use gmtrace_core::units::Pid;
use gmtrace_core::watch::{Say, Watch};
use std::io::Write;
use std::time::{Duration, Instant};

/// A reading takes milliseconds, and a second or two where thousands of processes run.
const READING: Duration = Duration::from_secs(10);
/// The second reading confirms the first one so much later; then there is one as often.
const AGAIN: Duration = Duration::from_secs(1);
/// What has just begun when gmtrace comes has settled after this long.
const SETTLE: Duration = Duration::from_millis(250);
/// Between the two readings what runs in Go programs is read so often.
const OFTEN: Duration = Duration::from_millis(20);
/// Of so many of them.
const BUSY: usize = 4;
/// What may block is waited for this long.
const BOUND: Duration = Duration::from_secs(1);

/// A look that has been planned.
pub struct Looking {
    options: RunOptions,
    attach: AttachOptions,
    targets: Vec<Target>,
    roots: Vec<Pid>,
    own: Vec<Pid>,
}

/// A look that is being taken.
struct Running {
    options: RunOptions,
    attach: AttachOptions,
    targets: Vec<Target>,
    roots: Vec<Pid>,
    observer: Observer,
    clock: Clock,
    watch: Watch,
    writer: Writers,
    shown: Shown,
    /// How the first of the processes that were asked about ended.
    exit: Option<Exit>,
    /// What happens between readings.
    following: Option<Following>,
}

/// Why no more is read.
enum Over {
    /// All that can be said has been said.
    Looked,
    /// The processes ended between the first two readings.
    EndedMeanwhile,
    /// The processes have ended.
    Ended,
    /// Somebody wants it to end.
    Told,
    /// `/proc` does not answer.
    Silent,
}

impl Looking {
    /// A look into `roots`; `own` are gmtrace's processes.
    pub fn new(
        options: RunOptions,
        attach: AttachOptions,
        targets: Vec<Target>,
        roots: Vec<Pid>,
        own: Vec<Pid>,
    ) -> Looking {
        Looking { options, attach, targets, roots, own }
    }

    /// Takes it. What is left to write may take long, and nobody has to wait for it.
    pub fn run(self) -> (u8, Option<Writing>) {
        let told = self.attach.keeps_on().then(when_told_to_end).and_then(Result::ok);
        let observer = match Observer::start(self.roots.clone(), self.own.clone()) {
            Ok(observer) => observer,
            Err(error) => return (refuse(&format!("no thread to read /proc: {error}")), None),
        };
        let Some(begun) = observer.begin(READING) else {
            let first = self.roots.first().copied().unwrap_or_default();
            return (refuse(&format!("process {first} has ended, or /proc does not answer")), None);
        };
        let mut running = self.start(observer, &begun);
        let over = running.look(begun.events, told.as_ref());
        running.finish(&over)
    }

    fn start(self, observer: Observer, begun: &Begun) -> Running {
        let header = header(&self.options, begun);
        let text = is_text(&self.attach, &self.targets);
        let pid = begun.root.pid.0;
        let targets: Vec<Target> = self.targets.iter().map(|t| t.for_pid(pid)).collect();
        let writer = Writers::start(RecordingPlan {
            header: header.clone(),
            files: targets.iter().filter(|t| is_recording(t)).map(|t| t.path.clone()).collect(),
            state_dir: None,
        });
        if self.attach.format == Some(Format::Jsonl) {
            print_record(&Record::Header(Box::new(header.clone())));
        }
        Running {
            shown: Shown::new(&self.options.look, text, self.options.quiet),
            watch: Watch::new(header),
            options: self.options,
            attach: self.attach,
            targets,
            roots: self.roots,
            observer,
            clock: begun.clock,
            writer,
            exit: None,
            following: None,
        }
    }
}

impl AttachOptions {
    /// Whether more than two readings are wanted.
    fn keeps_on(&self) -> bool {
        self.watch || self.duration.is_some()
    }
}

fn header(options: &RunOptions, begun: &Begun) -> Header {
    let root = &begun.root;
    let ago = Duration::from_nanos(begun.age.0);
    let now = jiff::Timestamp::now();
    Header {
        r#type: HeaderTag::Header,
        schema: RECORDING_SCHEMA.to_owned(),
        gmtrace: env!("CARGO_PKG_VERSION").to_owned(),
        mode: Mode::Attach,
        argv: if root.argv.is_empty() { vec![root.comm.clone()] } else { root.argv.clone() },
        cwd: root.cwd.clone().unwrap_or_default(),
        pid: root.pid,
        started_at: now.checked_sub(ago).unwrap_or(now).to_string(),
        host: host(),
        backend: Backend {
            name: "proc".to_owned(),
            why: "it runs already: it is only read, and never stopped".to_owned(),
            unseen: Vec::new(),
        },
        stall_after_ns: nanos(options.stall_after.0),
    }
}

impl Running {
    fn look(&mut self, first: Vec<Event>, told: Option<&Told>) -> Over {
        let began = Instant::now();
        self.take(first);
        self.shown.first(&self.watch);
        let over = self.second_reading(told);
        if let Some(over) = over {
            let (why, over) = match over {
                Over::Ended => ("it has ended meanwhile", Over::EndedMeanwhile),
                other => ("a second reading of /proc did not come back", other),
            };
            let words = self.watch.session.header.argv.join(" ");
            self.shown.interrupted(why, &words, &self.watch);
            return over;
        }
        self.shown.second(&self.watch);
        if !self.attach.keeps_on() {
            return Over::Looked;
        }
        let limit = self.attach.duration.map(|span| span.0);
        self.write_targets();
        self.follow();
        loop {
            let left =
                limit.map_or(AGAIN, |limit| limit.saturating_sub(began.elapsed()).min(AGAIN));
            if self.pause(told, left) {
                return Over::Told;
            }
            if limit.is_some_and(|limit| began.elapsed() >= limit) {
                return Over::Looked;
            }
            let cause = self.watch.due(self.clock.now()).unwrap_or(SnapshotCause::Confirm);
            if let Some(over) = self.read(cause) {
                return over;
            }
        }
    }

    /// What comes is captured from now on, where that is permitted; readings alone miss what is over within a second.
    fn follow(&mut self) {
        if matches!(self.options.backend, BackendChoice::Ptrace | BackendChoice::Proc) {
            return;
        }
        let pids: Vec<Pid> = self.watch.session.processes.keys().copied().collect();
        let text = match Following::start(&pids, self.clock) {
            Ok(following) => {
                self.following = Some(following);
                "from now on by eBPF too: what happens between two readings".to_owned()
            }
            Err(why) => format!("by readings of /proc alone, a second apart: {why}"),
        };
        tracing::info!("{text}");
        let (t, pid) = (self.clock.now(), Pid(0));
        self.take(vec![Event { t, pid, tid: pid.into(), what: What::Note { text } }]);
    }

    /// A second after the first, or after things had settled.
    fn second_reading(&mut self, told: Option<&Told>) -> Option<Over> {
        self.pause(told, SETTLE);
        if let Some(over) = self.read(SnapshotCause::Asked) {
            return Some(over);
        }
        let mut is_told = false;
        loop {
            let since = self.watch.settled().unwrap_or_default();
            let watched = self.watch.session.watched(since, self.clock.now());
            let left = AGAIN.saturating_sub(Duration::from_nanos(watched.0));
            if left.is_zero() || is_told {
                let over = self.read(SnapshotCause::Confirm);
                if over.is_some() || self.watch.is_checked() {
                    return over;
                }
                is_told = false;
                continue;
            }
            let mut busy = self.watch.session.may_spin(self.clock.now());
            busy.truncate(BUSY);
            if busy.is_empty() {
                is_told = self.pause(told, left);
                continue;
            }
            is_told = self.pause(told, left.min(OFTEN));
            let Some(events) = self.observer.running(busy, READING) else {
                return Some(Over::Silent);
            };
            self.take(events);
        }
    }

    /// Sleeps, and says whether a signal has come that asks to end.
    fn pause(&mut self, told: Option<&Told>, time: Duration) -> bool {
        let began = self.clock.now();
        let is_told = match told {
            Some(told) => told.within(time).is_some(),
            None => {
                std::thread::sleep(time);
                false
            }
        };
        if let Some(lapse) = self.clock.lapse(began, time) {
            self.take(vec![lapse]);
        }
        is_told
    }

    /// Reads, and says what there is to say; whether that was the last time.
    fn read(&mut self, cause: SnapshotCause) -> Option<Over> {
        let Some(events) = self.observer.read(cause, self.wants(cause), READING) else {
            return Some(Over::Silent);
        };
        let between = self.following.as_mut().map(Following::take).unwrap_or_default();
        let better = |event: &Event| self.following.as_ref().is_some_and(|f| f.knows_better(event));
        let events: Vec<Event> = events.into_iter().filter(|event| !better(event)).collect();
        for say in self.take(between).into_iter().chain(self.take(events)) {
            self.say(say);
        }
        let lives = |pid: &Pid| self.watch.session.processes.contains_key(pid);
        (!self.roots.iter().any(lives)).then_some(Over::Ended)
    }

    fn take(&mut self, events: Vec<Event>) -> Vec<Say> {
        let mut said = Vec::new();
        for event in events {
            if let (What::ProcessExit { exit, .. }, true) =
                (&event.what, self.roots.first() == Some(&event.pid))
            {
                self.exit = Some(exit.clone());
            }
            said.extend(self.watch.observe(&event));
            if self.attach.format == Some(Format::Jsonl) {
                print_record(&Record::Event(Box::new(event.clone())));
            }
            self.writer.send(event);
        }
        said
    }

    fn say(&mut self, say: Say) {
        match say {
            Say::Stalled(finding) => {
                self.shown.answer(&finding, &self.watch);
                self.write_targets();
            }
            Say::MovingAgain { finding, lasted, came: true } => {
                self.shown.moves_again(&message::moving_again(&finding, lasted));
            }
            Say::MovingAgain { lasted, .. } => {
                self.shown.moves_again(&message::moves_again(lasted));
            }
        }
    }

    fn wants(&self, cause: SnapshotCause) -> SnapshotWants {
        let session = &self.watch.session;
        let settings = session.settings.iter().next().map(|(_, settings)| settings);
        let place = |purpose: &str, name: &str| {
            let path = settings?.env.get(name)?.value.clone();
            path.starts_with('/').then(|| (purpose.to_owned(), path))
        };
        let caches = [place("module cache", "GOMODCACHE"), place("build cache", "GOCACHE")];
        let cwd = Some(session.header.cwd.clone()).filter(|cwd| cwd.starts_with('/'));
        let cwd = cwd.map(|cwd| ("working directory".to_owned(), cwd));
        SnapshotWants {
            filesystems: caches.into_iter().flatten().chain(cwd).collect(),
            scan_machine: cause == SnapshotCause::Confirm && !self.watch.is_checked(),
            ..SnapshotWants::default()
        }
    }

    fn report(&self) -> Report {
        let frame = Frame {
            observed_at: jiff::Timestamp::now().to_string(),
            now: self.clock.now(),
            stops: 0,
        };
        gmtrace_core::report::report(&self.watch, &frame)
    }

    fn write_targets(&self) {
        let _told_at_the_end =
            Writing::start(self.due(false), || self.report()).wait(Instant::now() + BOUND);
    }

    fn due(&self, direct: bool) -> Vec<Target> {
        let due = self.targets.iter().filter(|t| !is_recording(t) && t.is_direct() == direct);
        due.cloned().collect()
    }

    fn finish(mut self, over: &Over) -> (u8, Option<Writing>) {
        if let Some(following) = self.following.take() {
            let left = following.finish();
            self.take(left);
        }
        if matches!(over, Over::Ended) {
            let words = self.watch.session.header.argv.join(" ");
            self.shown.sentence(&format!("{words} has ended."));
        }
        let stalled = self.watch.answers().iter().any(|f| self.watch.is_stall(f));
        let hidden = self.explain_hidden();
        let ended_by = match over {
            Over::Told => Some(EndedBy::Interrupt),
            Over::Ended | Over::EndedMeanwhile => Some(EndedBy::Exit),
            Over::Looked | Over::Silent => None,
        };
        let lost = self.watch.session.losses.values().sum();
        let t = self.clock.now();
        let end = End { r#type: EndTag::End, t, exit: self.exit.clone(), ended_by, lost };
        self.watch.finish(end.clone());
        self.print_format(&end);
        let deadline = Instant::now() + BOUND;
        let mut streams = Writing::start(self.due(true), || self.report());
        let mut files = Writing::start(self.due(false), || self.report());
        let recorded =
            std::mem::replace(&mut self.writer, Writers::none()).finish(&end, false, BOUND);
        let Written { problems, .. } = files.wait(deadline);
        let late = streams.wait(deadline).problems;
        let problems: Vec<String> =
            problems.into_iter().chain(late).chain(recorded.problems).collect();
        for problem in &problems {
            let _closed = writeln!(std::io::stderr(), "gmtrace: {}", Escaped::lines(problem));
        }
        let status = match self.options.fail_on_stall {
            _ if matches!(over, Over::Silent | Over::EndedMeanwhile) || hidden => NOTHING,
            Some(status) if stalled => status,
            _ => 0,
        };
        (status, Some(streams))
    }

    /// Where nothing may be read of what was asked about: why, and what to try. Whether nothing was found either.
    fn explain_hidden(&self) -> bool {
        let session = &self.watch.session;
        let hidden = |pid: &&Pid| {
            session.state_of(**pid).is_some_and(|p| p.exe.is_none() && p.written.is_none())
        };
        let Some(pid) = self.roots.iter().find(hidden) else { return false };
        let known = self.watch.answers().iter().any(|f| f.code != "unknown");
        if let Some(why) = refusal(*pid) {
            let _closed =
                writeln!(std::io::stderr(), "gmtrace: {}", Escaped::lines(&why.to_string()));
        }
        !known
    }

    /// What `-F` asks for.
    fn print_format(&self, end: &End) {
        match self.attach.format {
            None | Some(Format::Text) => {}
            Some(Format::Jsonl) => print_record(&Record::End(end.clone())),
            Some(format) => {
                let style = screen::for_stdout(&self.options.look);
                let bytes = crate::output::render(&self.report(), format, &style);
                let mut out = std::io::stdout().lock();
                let _gone = out.write_all(&bytes).and_then(|()| out.flush());
            }
        }
    }
}

fn print_record(record: &Record) {
    let Ok(mut line) = serde_json::to_vec(record) else { return };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    let _gone = out.write_all(&line).and_then(|()| out.flush());
}
