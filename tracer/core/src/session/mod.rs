//! The model: events folded into processes, connections, look-ups and locks. Pure, so that a recording replays to the same
//! answer.

pub mod awaited;
mod body;
mod connection;
mod elsewhere;
mod found;
mod getaddrinfo;
mod gocall;
mod lapses;
mod lock;
mod lookup;
mod missed;
mod movement;
mod output;
mod process;
mod round_trip;
mod spin;
mod traffic;
mod tunnel;
mod work;

pub use body::{Bodies, Body};
pub use connection::{Connection, Hello, Phase, Request, Response};
pub use getaddrinfo::Getaddrinfo;
pub use gocall::{GoCallMade, GoCalls};
pub use lapses::Lapses;
pub use lock::LockWait;
pub use lookup::{ByLibc, Lookup, Question};
pub use movement::{CPU_SHARE_THAT_MOVES, Movement, OLD_WAIT, WRITTEN_THAT_MOVES};
pub use output::OutputTail;
pub use process::Process;
pub use round_trip::{Asked, Carrier, RoundTrip};
pub use spin::{RECURRENCES, Spin, Spinner};
pub use work::Work;

use crate::event::{
    CgroupState, End, Event, Exit, GoSettings, Header, Mode, ProcessRole, ProcessState, Snapshot,
    Socket, What,
};
use crate::units::{Inode, Nanos, Pid, Tid};
use missed::OLD_ROWS;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// How many ended things of a kind are kept for the timeline; older ones are dropped and counted.
const KEPT_CLOSED: usize = 5_000;

/// Of how many go commands that ended the settings are kept.
const KEPT_SETTINGS: usize = 64;

/// Everything known of a run so far.
#[derive(Debug)]
pub struct Session {
    /// What was known before it began.
    pub header: Header,
    /// How it ended.
    pub end: Option<End>,
    /// The time of the newest event.
    pub now: Nanos,
    /// Processes that live.
    pub processes: BTreeMap<Pid, Process>,
    /// Processes that ended, oldest first.
    pub ended: Vec<Process>,
    /// Connections, open and closed, oldest first.
    pub connections: Vec<Connection>,
    /// Connections that only the newest snapshot shows: of processes whose calls are not seen.
    pub found_connections: Vec<Connection>,
    /// Lock requests that only the newest snapshot shows.
    pub found_locks: Vec<LockWait>,
    /// Look-ups that only the newest snapshot shows, by their sockets; whose names are not known.
    pub found_lookups: Vec<Lookup>,
    /// Requests of Go programs, oldest first.
    pub round_trips: Vec<RoundTrip>,
    /// Look-ups, oldest first.
    pub lookups: Vec<Lookup>,
    /// Calls of libc's getaddrinfo that were seen, oldest first.
    pub getaddrinfos: Vec<Getaddrinfo>,
    /// Lock requests, oldest first.
    pub locks: Vec<LockWait>,
    /// What go commands did for modules, oldest first.
    pub work: Vec<Work>,
    /// What goroutines did that went on for a while.
    pub go_calls: GoCalls,
    /// What the running goroutines of Go programs were found at.
    pub spins: BTreeMap<Pid, Spin>,
    /// Locks obtained at once are counted, not kept.
    pub locks_taken: u64,
    /// The modules whose version locks were asked for, as `path@version`, at most 100,000.
    pub modules_locked: BTreeSet<String>,
    /// Settings of the go commands.
    pub settings: BTreeMap<Pid, GoSettings>,
    /// What the processes said on standard error.
    pub output: OutputTail,
    /// The newest snapshot, and when it was taken.
    pub snapshot: Option<(Nanos, Snapshot)>,
    /// When the snapshot before it was taken, and the control groups in it: counters tell by their growth.
    pub before: Option<(Nanos, Vec<CgroupState>)>,
    /// When the snapshot before was taken, and the CPU time of the threads that were runnable in it.
    pub runnable_before: (Nanos, HashMap<Tid, u64>),
    /// Which names an address was an answer for.
    pub names: HashMap<IpAddr, Vec<String>>,
    /// When each go command last moved.
    pub movement: Movement,
    /// When gmtrace itself did not run.
    pub lapses: Lapses,
    /// Signals worth knowing: (when, to whom, which, by whom).
    pub signals: Vec<(Nanos, Pid, String, crate::event::SignalSender)>,
    /// What was lost, by cause.
    pub losses: BTreeMap<String, u64>,
    /// Sentences for the report.
    pub notes: Vec<String>,
    /// Bytes received over connections that are closed.
    pub bytes_closed: u64,
    /// Number of events.
    pub events: u64,
}

impl Session {
    /// An empty model of the run that `header` announces.
    pub fn new(header: Header) -> Session {
        Session {
            header,
            end: None,
            now: Nanos(0),
            processes: BTreeMap::new(),
            ended: Vec::new(),
            connections: Vec::new(),
            found_connections: Vec::new(),
            found_locks: Vec::new(),
            found_lookups: Vec::new(),
            round_trips: Vec::new(),
            lookups: Vec::new(),
            getaddrinfos: Vec::new(),
            locks: Vec::new(),
            work: Vec::new(),
            go_calls: GoCalls::default(),
            spins: BTreeMap::new(),
            locks_taken: 0,
            modules_locked: BTreeSet::new(),
            settings: BTreeMap::new(),
            output: OutputTail::default(),
            snapshot: None,
            before: None,
            runnable_before: (Nanos(0), HashMap::new()),
            names: HashMap::new(),
            movement: Movement::default(),
            lapses: Lapses::default(),
            signals: Vec::new(),
            losses: BTreeMap::new(),
            notes: Vec::new(),
            bytes_closed: 0,
            events: 0,
        }
    }

    /// The command's own process.
    pub fn root(&self) -> Pid {
        self.header.pid
    }

    /// Whether gmtrace looks into what runs already, instead of having started it.
    pub fn is_attached(&self) -> bool {
        self.header.mode == Mode::Attach
    }

    /// Whether a snapshot that comes now is the first one of something that runs already.
    fn is_first_look(&self) -> bool {
        self.is_attached() && self.snapshot.is_none()
    }

    /// Takes one event in.
    pub fn apply(&mut self, event: &Event) {
        self.events += 1;
        self.now = self.now.max(event.t);
        self.apply_spin(event);
        movement::note(self, event);
        self.apply_process(event);
        self.apply_connection(event);
        self.apply_round_trip(event);
        self.apply_lookup(event);
        self.apply_getaddrinfo(event);
        self.apply_lock(event);
        self.apply_work(event);
        self.apply_go_call(event);
        self.apply_rest(event);
        self.drop_oldest();
    }

    /// Takes the end of the run in.
    pub fn finish(&mut self, end: End) {
        self.now = self.now.max(end.t);
        self.end = Some(end);
    }

    fn apply_rest(&mut self, event: &Event) {
        match &event.what {
            What::Output { fd, text, .. } if fd.0 == 2 => {
                self.output.push(event.t, event.pid, text);
            }
            What::Signal { signal, sender } if self.signals.len() < 1000 => {
                self.signals.push((event.t, event.pid, signal.clone(), sender.clone()));
            }
            What::GoSettings(settings) => {
                self.settings.insert(event.pid, (**settings).clone());
                self.forget_settings();
            }
            What::Snapshot(snapshot) => {
                self.make_up(event.t, snapshot);
                self.find(event.t, snapshot);
                self.take_goroutines(event.t, snapshot);
                self.take_threads(snapshot);
                self.remember_runnable();
                let old = self.snapshot.replace((event.t, (**snapshot).clone()));
                if let Some((t, snapshot)) = old {
                    self.before = Some((t, snapshot.cgroups));
                }
            }
            What::Lapse { ns } => self.lapses.add(event.t, *ns),
            What::Lost { what, count, why } => {
                *self.losses.entry(format!("{what}: {why}")).or_default() += count;
            }
            What::Note { text } if self.notes.len() < 100 && !self.notes.contains(text) => {
                self.notes.push(text.clone());
            }
            _ => {}
        }
    }

    /// A build may run thousands of go commands, one after the other. Those that live are kept, and the command itself.
    fn forget_settings(&mut self) {
        let root = self.root();
        let ended =
            self.settings.keys().filter(|pid| **pid != root && !self.processes.contains_key(pid));
        if ended.clone().count() > KEPT_SETTINGS
            && let Some(first) =
                ended.min_by_key(|pid| self.process(**pid).and_then(|p| p.ended)).copied()
        {
            self.settings.remove(&first);
        }
    }

    /// Keeps of the snapshot that is replaced which threads wanted a CPU.
    fn remember_runnable(&mut self) {
        let Some((t, snapshot)) = &self.snapshot else { return };
        let threads = snapshot.processes.iter().flat_map(|p| &p.threads);
        let runnable = threads.filter(|thread| thread.state == 'R');
        let used = runnable.filter_map(|thread| Some((thread.tid, thread.cpu_ns?))).collect();
        self.runnable_before = (*t, used);
    }

    /// Keeps memory bounded, however long the run.
    fn drop_oldest(&mut self) {
        let mut dropped = 0;
        dropped += drop_closed(&mut self.ended, |_| true);
        dropped += drop_closed(&mut self.connections, |c| c.closed.is_some());
        dropped += drop_closed(&mut self.round_trips, |r| !r.is_open());
        dropped += drop_closed(&mut self.lookups, Lookup::is_over);
        dropped += drop_closed(&mut self.getaddrinfos, |c| c.ended.is_some());
        dropped += drop_closed(&mut self.locks, |l| l.ended.is_some());
        dropped += drop_closed(&mut self.work, |w| !w.open);
        dropped += drop_closed(&mut self.go_calls.0, |call| call.ended.is_some());
        if dropped > 0 {
            let cause = format!("{OLD_ROWS}the timeline keeps the newest only");
            *self.losses.entry(cause).or_default() += dropped;
        }
    }

    /// The state of a process in the newest snapshot.
    pub fn state_of(&self, pid: Pid) -> Option<&ProcessState> {
        self.snapshot.as_ref()?.1.processes.iter().find(|p| p.pid == pid)
    }

    /// The socket with this inode in the newest snapshot.
    pub fn socket(&self, inode: Inode) -> Option<&Socket> {
        self.snapshot.as_ref()?.1.sockets.iter().find(|s| s.inode == inode)
    }

    /// The newest known process with this id, alive or ended.
    pub fn process(&self, pid: Pid) -> Option<&Process> {
        self.processes.get(&pid).or_else(|| self.ended.iter().rev().find(|p| p.pid == pid))
    }

    /// What kind of program `pid` runs.
    pub fn role_of_process(&self, pid: Pid) -> ProcessRole {
        self.process(pid)
            .and_then(|p| p.exec.as_ref().map(|e| e.role))
            .or_else(|| self.state_of(pid).map(|p| p.role))
            .unwrap_or_default()
    }

    /// The words of the command that `pid` runs, redacted.
    pub fn argv(&self, pid: Pid) -> Vec<String> {
        if let Some(exec) = self.process(pid).and_then(|p| p.exec.as_ref()) {
            return exec.argv.clone();
        }
        match self.state_of(pid) {
            Some(state) if !state.argv.is_empty() => state.argv.clone(),
            Some(state) => vec![state.comm.clone()],
            None if pid == self.root() => self.header.argv.clone(),
            None => Vec::new(),
        }
    }

    /// The settings that hold for `pid`: its own, or those of the nearest go command above it, or the first known of the tree.
    pub fn settings_for(&self, pid: Pid) -> Option<&GoSettings> {
        let mut at = Some(pid);
        for _ in 0..64 {
            let Some(pid) = at else { break };
            if let Some(settings) = self.settings.get(&pid) {
                return Some(settings);
            }
            at = self.parent(pid);
        }
        self.settings.iter().find(|(pid, _)| self.process(**pid).is_some()).map(|(_, s)| s)
    }

    /// The parent of a process, where it is known.
    pub fn parent(&self, pid: Pid) -> Option<Pid> {
        self.process(pid).map(|p| p.ppid).or_else(|| self.state_of(pid).map(|s| s.ppid))
    }

    /// Whether `pid` is `ancestor`, or below it.
    pub fn is_below(&self, pid: Pid, ancestor: Pid) -> bool {
        let mut at = pid;
        for _ in 0..64 {
            if at == ancestor {
                return true;
            }
            match self.parent(at) {
                Some(parent) if parent.0 > 0 => at = parent,
                _ => return false,
            }
        }
        false
    }

    /// The living children of `pid`, without Go's telemetry child.
    pub fn children(&self, pid: Pid) -> Vec<Pid> {
        let mut children: Vec<Pid> = self
            .processes
            .values()
            .filter(|p| p.ppid == pid && !p.is_telemetry())
            .map(|p| p.pid)
            .collect();
        if let Some((_, snapshot)) = &self.snapshot {
            let seen = snapshot.processes.iter().filter(|p| p.ppid == pid && p.state != 'Z');
            for p in seen {
                let ended = !self.processes.contains_key(&p.pid) && self.process(p.pid).is_some();
                if !children.contains(&p.pid) && !ended && !self.is_telemetry(p.pid) {
                    children.push(p.pid);
                }
            }
        }
        children
    }

    fn is_telemetry(&self, pid: Pid) -> bool {
        self.process(pid).is_some_and(Process::is_telemetry)
    }

    /// The go commands that live, those that others wait for first in age.
    pub fn go_commands(&self) -> Vec<Pid> {
        self.processes
            .values()
            .filter(|p| p.role() == ProcessRole::Go && !p.is_telemetry())
            .map(|p| p.pid)
            .collect()
    }

    /// Open connections on which something is waited for, as far as the kernel's counters tell.
    pub fn open_waits(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(|c| c.waits())
    }

    /// Names an address is known by, the newest last.
    pub fn names_of(&self, ip: IpAddr) -> &[String] {
        self.names.get(&ip).map_or(&[], Vec::as_slice)
    }

    /// Whether the command ended in an error.
    pub fn has_failed(&self) -> bool {
        let exit = self.end.as_ref().and_then(|e| e.exit.as_ref());
        exit.is_some_and(|e| *e != Exit::Code(0))
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }
}

/// Drops the oldest tenth of what `over` allows when there is too much of it; says how many went.
fn drop_closed<T>(items: &mut Vec<T>, over: impl Fn(&T) -> bool) -> u64 {
    if items.len() <= KEPT_CLOSED {
        return 0;
    }
    let mut left = KEPT_CLOSED / 10;
    let before = items.len();
    items.retain(|item| {
        if left > 0 && over(item) {
            left -= 1;
            return false;
        }
        true
    });
    (before - items.len()) as u64
}
