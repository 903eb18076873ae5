//! Readings of processes that run already, as events: what began, what it is, what it is set to, what is true now.

use super::refused::explain_unseen;
use crate::capture::clock::Clock;
use crate::capture::gosettings;
use crate::capture::proc::{Proc, SnapshotWants};
use gmtrace_core::event::{
    Event, Exit, GoSettings, ProcessRole, ProcessSample, ProcessState, Sample, Snapshot,
    SnapshotCause, TcpSample, What,
};
use gmtrace_core::units::{Nanos, Pid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What may block is waited for this long.
const BOUND: Duration = Duration::from_secs(1);
/// The first answer does not wait for files longer than this.
const FIRST_ANSWER: Duration = Duration::from_millis(50);
/// The settings of so many go commands are read.
const MAX_SETTINGS: usize = 64;

/// What the first reading found.
#[derive(Debug)]
pub struct Begun {
    /// The process that was asked about.
    pub root: ProcessState,
    /// Counts from when the oldest command began.
    pub clock: Clock,
    /// How long before this reading that was.
    pub age: Nanos,
    /// The reading.
    pub events: Vec<Event>,
}

/// Takes readings, on a thread of its own: `/proc` may be slow to answer.
#[derive(Debug)]
pub struct Observer {
    requests: Sender<Request>,
    answers: Receiver<Option<Begun>>,
    readings: Receiver<Vec<Event>>,
}

#[derive(Debug)]
enum Request {
    Snapshot { cause: SnapshotCause, wants: SnapshotWants },
    Running(Vec<Pid>),
}

impl Observer {
    /// Starts with a reading of `roots` and all that runs below them, without `own`.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn start(roots: Vec<Pid>, own: Vec<Pid>) -> std::io::Result<Observer> {
        let (requests, asked) = channel();
        let (begun, answers) = channel();
        let (read, readings) = channel();
        std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || serve(roots, own, &asked, &begun, &read))?;
        Ok(Observer { requests, answers, readings })
    }

    /// The first reading; none where the processes have ended, or `/proc` does not answer within `bound`.
    pub fn begin(&self, bound: Duration) -> Option<Begun> {
        self.answers.recv_timeout(bound).ok().flatten()
    }

    /// Another reading; none where it does not come within `bound`.
    pub fn read(
        &self,
        cause: SnapshotCause,
        wants: SnapshotWants,
        bound: Duration,
    ) -> Option<Vec<Event>> {
        self.ask(Request::Snapshot { cause, wants }, bound)
    }

    /// What runs in those of `pids` that are Go programs; none where it does not come within `bound`.
    pub fn running(&self, pids: Vec<Pid>, bound: Duration) -> Option<Vec<Event>> {
        self.ask(Request::Running(pids), bound)
    }

    fn ask(&self, request: Request, bound: Duration) -> Option<Vec<Event>> {
        self.requests.send(request).ok()?;
        self.readings.recv_timeout(bound).ok()
    }
}

fn serve(
    roots: Vec<Pid>,
    own: Vec<Pid>,
    requests: &Receiver<Request>,
    begun: &Sender<Option<Begun>>,
    readings: &Sender<Vec<Event>>,
) {
    let mut reader = Reader::new(roots, own);
    let Some(first) = reader.begin() else {
        let _gone = begun.send(None);
        return;
    };
    let clock = first.clock;
    if begun.send(Some(first)).is_err() {
        return;
    }
    for request in requests {
        let events = match request {
            Request::Snapshot { cause, wants } => {
                let snapshot = reader.snapshot(cause, &wants);
                reader.events(clock, snapshot, BOUND)
            }
            Request::Running(pids) => reader.running(clock, pids),
        };
        if readings.send(events).is_err() {
            return;
        }
    }
}

/// The readings, one after the other.
struct Reader {
    proc: Proc,
    roots: Vec<Pid>,
    own: Vec<Pid>,
    /// The processes of the tree, with their programs.
    known: BTreeMap<Pid, Program>,
    /// Whose settings have been asked for.
    asked: BTreeSet<Pid>,
    /// So many of them have not come yet.
    outstanding: usize,
    sender: Sender<(Pid, Option<GoSettings>)>,
    settings: Receiver<(Pid, Option<GoSettings>)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Program {
    exe: Option<String>,
    argv: Vec<String>,
}

impl Program {
    /// What could not be read this time is what it was `before`: memory may be slow to answer, and that is no other program.
    fn of(process: &ProcessState, before: Option<&Program>) -> Program {
        let read = Program { exe: process.exe.clone(), argv: process.argv.clone() };
        let Some(before) = before else { return read };
        let exe = read.exe.or_else(|| before.exe.clone());
        let unread = read.argv.is_empty() && exe == before.exe;
        let argv = if unread { before.argv.clone() } else { read.argv };
        Program { exe, argv }
    }
}

impl Reader {
    fn new(roots: Vec<Pid>, own: Vec<Pid>) -> Reader {
        let (sender, settings) = channel();
        Reader {
            proc: Proc::new(),
            roots,
            own,
            known: BTreeMap::new(),
            asked: BTreeSet::new(),
            outstanding: 0,
            sender,
            settings,
        }
    }

    fn begin(&mut self) -> Option<Begun> {
        let snapshot = self.snapshot(SnapshotCause::Asked, &SnapshotWants::default());
        let find = |pid: &Pid| snapshot.processes.iter().find(|p| p.pid == *pid && !is_over(p));
        let root = self.roots.iter().find_map(find)?.clone();
        let age = age(&snapshot, &root);
        let clock = Clock::began(age);
        let events = self.events(clock, snapshot, FIRST_ANSWER);
        Some(Begun { root, clock, age, events })
    }

    fn snapshot(&mut self, cause: SnapshotCause, wants: &SnapshotWants) -> Snapshot {
        let (first, others) = self.roots.split_first().map_or((Pid(0), &[][..]), |(f, o)| (*f, o));
        let mut snapshot = self.proc.snapshot(cause, first, others, wants);
        snapshot.processes.retain(|process| !self.own.contains(&process.pid));
        explain_unseen(&mut snapshot);
        snapshot
    }

    fn running(&self, clock: Clock, pids: Vec<Pid>) -> Vec<Event> {
        let read = |pid| {
            let what = What::GoRunning(Box::new(self.proc.running(pid)?));
            Some(Event { t: clock.now(), pid, tid: pid.into(), what })
        };
        pids.into_iter().filter_map(read).collect()
    }

    /// What a reading says: what has begun and ended, whose settings are known by now, what has been used, and all that is true.
    fn events(&mut self, clock: Clock, snapshot: Snapshot, patience: Duration) -> Vec<Event> {
        let t = clock.now();
        let mut events = self.changes(t, &snapshot);
        self.ask_settings(&snapshot);
        events.extend(self.come_settings(t, patience));
        let own = |what| Event { t, pid: Pid(0), tid: Pid(0).into(), what };
        events.push(own(What::Sample(sample(&snapshot))));
        events.push(own(What::Snapshot(Box::new(snapshot))));
        events
    }

    /// The processes of the tree that are new, run another program now, or are gone.
    fn changes(&mut self, t: Nanos, snapshot: &Snapshot) -> Vec<Event> {
        let tree = || snapshot.processes.iter().filter(|p| p.in_tree);
        let mut events = Vec::new();
        for process in tree().filter(|p| !is_over(p)) {
            let program = Program::of(process, self.known.get(&process.pid));
            let before = self.known.insert(process.pid, program.clone());
            let at = |t, what| Event { t, pid: process.pid, tid: process.pid.into(), what };
            match before {
                Some(before) if before == program => {}
                Some(_) => events.push(at(t, What::Exec(process.program()))),
                None => {
                    let began = Nanos(t.0.saturating_sub(process.age_ns.0));
                    let (ppid, ns_pid) = (process.ppid, process.ns_pid);
                    events.push(at(began, What::ProcessStart { ppid, ns_pid }));
                    events.push(at(began, What::Exec(process.program())));
                }
            }
        }
        events.sort_by_key(|event| event.t);
        let lives = |pid: &Pid| tree().any(|p| p.pid == *pid && !is_over(p));
        let gone: Vec<Pid> = self.known.keys().filter(|pid| !lives(pid)).copied().collect();
        for pid in gone {
            self.known.remove(&pid);
            let exit = tree().find(|p| p.pid == pid).and_then(|p| p.exit.clone());
            events.push(Event { t, pid, tid: pid.into(), what: end(exit) });
        }
        events
    }

    /// Each is read on its own thread: its files may lie on a disk that does not answer.
    fn ask_settings(&mut self, snapshot: &Snapshot) {
        let go = snapshot.processes.iter().filter(|p| p.role == ProcessRole::Go && !is_over(p));
        for pid in go.map(|p| p.pid) {
            if self.asked.len() >= MAX_SETTINGS || !self.asked.insert(pid) {
                continue;
            }
            let sender = self.sender.clone();
            let work = move || {
                let _late = sender.send((pid, gosettings::read(pid, BOUND)));
            };
            match std::thread::Builder::new().name("settings".to_owned()).spawn(work) {
                Ok(_) => self.outstanding += 1,
                Err(error) => tracing::warn!("no thread for the settings of {pid}: {error}"),
            }
        }
    }

    /// Those that have come; whatever is late comes with the next reading.
    fn come_settings(&mut self, t: Nanos, patience: Duration) -> Vec<Event> {
        let deadline = Instant::now() + patience;
        let mut events = Vec::new();
        while self.outstanding > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let (pid, settings) = match self.settings.recv_timeout(left) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            };
            self.outstanding -= 1;
            let what = settings.map(|settings| What::GoSettings(Box::new(settings)));
            events.extend(what.map(|what| Event { t, pid, tid: pid.into(), what }));
        }
        events
    }
}

fn is_over(process: &ProcessState) -> bool {
    matches!(process.state, 'Z' | 'X')
}

fn end(exit: Option<Exit>) -> What {
    match exit {
        Some(exit) => What::ProcessExit { exit, cpu_ns: 0 },
        None => What::ProcessGone,
    }
}

/// How long the oldest that matters has run: a shell or a service above the commands has run for days.
fn age(snapshot: &Snapshot, root: &ProcessState) -> Nanos {
    let matters = |p: &&ProcessState| p.role != ProcessRole::Other || !p.in_tree;
    let ages = snapshot.processes.iter().filter(matters).map(|p| p.age_ns);
    ages.max().unwrap_or(root.age_ns)
}

/// What can move, from the same reading.
fn sample(snapshot: &Snapshot) -> Sample {
    let connection = |socket: &gmtrace_core::event::Socket| {
        Some(TcpSample {
            inode: socket.inode,
            local: socket.local,
            peer: socket.peer?,
            state: socket.state.clone(),
            tcp: socket.tcp?,
        })
    };
    let process = |p: &ProcessState| ProcessSample {
        pid: p.pid,
        cpu_ns: p.cpu_ns,
        written: p.written.unwrap_or(0),
        state: p.state,
    };
    let tree = snapshot.processes.iter().filter(|p| p.in_tree);
    Sample {
        connections: snapshot.sockets.iter().filter_map(connection).collect(),
        processes: tree.map(process).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, state: char, argv: &str) -> ProcessState {
        ProcessState {
            pid: Pid(pid),
            in_tree: true,
            state,
            argv: vec![argv.to_owned()],
            age_ns: Nanos::from_secs(3),
            ..ProcessState::default()
        }
    }

    fn kinds(reader: &mut Reader, processes: Vec<ProcessState>) -> Vec<String> {
        let snapshot = Snapshot { processes, ..Snapshot::default() };
        let events = reader.changes(Nanos::from_secs(10), &snapshot);
        let kind = |what: &What| serde_json::to_value(what).unwrap()["type"].to_string();
        events
            .iter()
            .map(|e| format!("{} {} {}", e.t.0 / 1_000_000_000, e.pid, kind(&e.what)))
            .collect()
    }

    #[test]
    fn what_begins_changes_and_ends() {
        let mut reader = Reader::new(vec![Pid(1)], Vec::new());
        let began = kinds(&mut reader, vec![process(1, 'S', "go"), process(2, 'Z', "git")]);
        assert_eq!(began, ["7 1 \"process-start\"", "7 1 \"exec\""]);
        assert!(kinds(&mut reader, vec![process(1, 'R', "go")]).is_empty());
        assert_eq!(kinds(&mut reader, vec![process(1, 'R', "git")]), ["10 1 \"exec\""]);
        let dead = ProcessState { exit: Some(Exit::Code(1)), ..process(1, 'Z', "git") };
        assert_eq!(kinds(&mut reader, vec![dead]), ["10 1 \"process-exit\""]);
        kinds(&mut reader, vec![process(3, 'S', "go")]);
        let unread = ProcessState { argv: Vec::new(), ..process(3, 'S', "go") };
        assert!(kinds(&mut reader, vec![unread]).is_empty());
        assert!(kinds(&mut reader, vec![process(3, 'S', "go")]).is_empty());
        assert_eq!(kinds(&mut reader, Vec::new()), ["10 3 \"process-gone\""]);
    }
}
