//! What moves, and what is a stall: here and nowhere else.
//!
//! Moving is: bytes received on any socket, sent bytes newly acknowledged, a lock obtained, a process started or ended, files
//! growing, CPU time, but not that of a Go program that spins (`spin`). Repeated questions, SYNs, and the PINGs of HTTP/2 are not
//! moving. The clock is kept for each go command of the tree, and for
//! the command itself, so that a busy sibling hides nothing.

use super::Session;
use super::traffic::Traffic;
use crate::event::{
    Event, ProcessRole, ProcessSample, Sample, Snapshot, TcpInfo, TlsReply, Transport, What,
};
use crate::units::{Inode, Nanos, Pid};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// A process moves while it uses at least this share of one CPU. A hung go command wakes for its timers and uses a
/// thousandth; one held down to a quota of 1 % does not get anywhere either, and is spoken of as `throttled`.
pub const CPU_SHARE_THAT_MOVES: f64 = 0.05;

/// Of less time no share is told: behind a slow reading two samples follow each other at once, and a millisecond's work would be a
/// large part of what lies between them.
const SHORTEST: Nanos = Nanos::from_millis(100);

/// A share that moves is one of this long, too: a collection of garbage, or a machine that wakes up after it stood still, makes a
/// hung go command use 20 ms of CPU in a moment.
const LASTING: Nanos = Nanos::from_secs(2);
/// A younger process has used its CPU time in at least this long.
const YOUNGEST: Nanos = Nanos::from_secs(1);

/// Files grow when at least this much was written since the last sample. `wchar` of `/proc/PID/io` counts sockets too, where
/// repeated DNS questions (60 bytes) and ClientHellos (1,532 bytes) are no movement.
pub const WRITTEN_THAT_MOVES: u64 = 8 * 1024;

/// A process that moves by CPU time, and has done nothing else for so long, may spin: its goroutines are worth a reading.
const SPINS: Nanos = Nanos::from_secs(1);

/// More than the goroutines that spin use: other threads work too.
const MORE_THAN_SPINNING: f64 = 0.25;

/// A single wait this old is spoken of even while others move.
pub const OLD_WAIT: Nanos = Nanos::from_secs(30);

/// When each watched command last moved, and the counters that tell.
#[derive(Debug, Default)]
pub struct Movement {
    last: BTreeMap<Pid, Nanos>,
    /// When each last did anything else than use a CPU.
    acted: BTreeMap<Pid, Nanos>,
    /// What each used of a CPU between the last two samples.
    cpu: BTreeMap<Pid, f64>,
    /// When each was last continued after a stop.
    continued: BTreeMap<Pid, Nanos>,
    traffic: HashMap<Inode, Traffic>,
    /// The samples of the last [`LASTING`], the oldest first.
    processes: HashMap<Pid, VecDeque<(Nanos, ProcessSample)>>,
    /// The CPU time and the bytes written of those outside of the tree, and since when snapshots show the same.
    outside: HashMap<Pid, (Nanos, u64, Option<u64>)>,
}

impl Movement {
    /// When `pid`, or something below it, last moved.
    pub fn last_moved(&self, pid: Pid) -> Nanos {
        self.last.get(&pid).copied().unwrap_or_default()
    }

    /// Since when snapshots show that a process outside of the tree has not moved; it may be longer.
    pub fn outside_since(&self, pid: Pid) -> Option<Nanos> {
        self.outside.get(&pid).map(|(since, ..)| *since)
    }

    fn look_outside(&mut self, t: Nanos, snapshot: &Snapshot) {
        let mut outside = HashMap::new();
        for process in snapshot.processes.iter().filter(|p| !p.in_tree) {
            let (cpu, written) = (process.cpu_ns, process.written);
            let known = self.outside.get(&process.pid).copied();
            let same = known.filter(|(_, then, wrote)| (*then, *wrote) == (cpu, written));
            outside.insert(process.pid, (same.map_or(t, |(since, ..)| since), cpu, written));
        }
        self.outside = outside;
    }

    /// The counters of a socket before there were only PINGs, where some came since.
    pub(super) fn before_pings(&self, socket: Inode) -> Option<(Nanos, TcpInfo)> {
        self.traffic.get(&socket)?.before_pings()
    }

    /// Of what `pid` did before `t` nothing is known.
    pub(super) fn begins(&mut self, pid: Pid, t: Nanos) {
        self.last.insert(pid, t);
    }

    /// It has ended.
    pub(super) fn ends(&mut self, pid: Pid) {
        self.last.remove(&pid);
        self.acted.remove(&pid);
        self.cpu.remove(&pid);
        self.continued.remove(&pid);
        self.processes.remove(&pid);
    }

    /// Since when `pid` could have moved and did not: a suspended command gets its whole time again.
    fn still_since(&self, pid: Pid) -> Nanos {
        self.last_moved(pid).max(self.continued.get(&pid).copied().unwrap_or_default())
    }
}

impl Session {
    /// The commands whose clocks count: the go commands that live, or the command itself where there is none.
    pub fn clocks(&self) -> Vec<Pid> {
        let go = self.go_commands();
        // A go command that only waits for another one below it (a toolchain switch by a child, `go generate`) has its own
        // clock too: what moves below it moves it.
        if go.is_empty() { vec![self.root()] } else { go }
    }

    /// The commands in which nothing has moved for `threshold`, the longest first.
    pub fn stalled(&self, now: Nanos, threshold: Nanos) -> Vec<Pid> {
        if threshold.0 == 0 || self.is_over() {
            return Vec::new();
        }
        let mut stalled: Vec<Pid> = self
            .clocks()
            .into_iter()
            .filter(|pid| self.watched(self.movement.still_since(*pid), now) >= threshold)
            .collect();
        stalled.sort_by_key(|pid| self.movement.last_moved(*pid));
        stalled
    }

    /// When the nearest process above `pid` of which anything is known last moved.
    pub fn moved_above(&self, pid: Pid) -> Option<Nanos> {
        let mut at = self.parent(pid)?;
        for _ in 0..64 {
            if let Some(moved) = self.movement.last.get(&at) {
                return Some(*moved);
            }
            at = self.parent(at).filter(|parent| parent.0 > 0)?;
        }
        None
    }

    /// The share of a CPU that `pid` used between the last two samples.
    pub fn cpu_share(&self, pid: Pid) -> f64 {
        self.movement.cpu.get(&pid).copied().unwrap_or(0.0)
    }

    /// The processes that use a CPU and have done nothing else for a while, and those that are known to spin.
    pub fn may_spin(&self, now: Nanos) -> Vec<Pid> {
        let acted = |pid: &Pid| self.movement.acted.get(pid).copied().unwrap_or_default();
        let used = self.movement.cpu.iter().filter(|(_, cpu)| **cpu >= CPU_SHARE_THAT_MOVES);
        used.map(|(pid, _)| *pid).filter(|pid| now.since(acted(pid)) >= SPINS).collect()
    }

    /// Whether `pid`, or something below it, has done anything else than use a CPU since `t`.
    pub fn has_acted(&self, pid: Pid, t: Nanos) -> bool {
        let since = self.movement.acted.iter().filter(|(_, acted)| **acted > t);
        since.map(|(pid, _)| *pid).any(|below| self.is_below(below, pid))
    }

    /// Whether the CPU time that `pid` uses is that of goroutines which come to nothing.
    fn only_spins(&self, pid: Pid, cpu: f64) -> bool {
        let spinners = self.spin(pid).map_or(0, |spin| spin.goroutines.len());
        spinners > 0 && cpu <= spinners as f64 + MORE_THAN_SPINNING
    }

    /// Marks `pid` and everything above it as moving, by something else than CPU time.
    pub(super) fn acted(&mut self, pid: Pid, t: Nanos) {
        self.movement.acted.insert(pid, t);
        self.moved(pid, t);
    }

    /// Marks `pid` and everything above it as moving.
    fn moved(&mut self, pid: Pid, t: Nanos) {
        let mut at = pid;
        for _ in 0..64 {
            self.movement.last.insert(at, t);
            match self.parent(at) {
                Some(parent) if parent.0 > 0 && at != self.root() => at = parent,
                _ => break,
            }
        }
    }
}

/// Looks at one event before it is folded into the rest of the model.
pub(super) fn note(session: &mut Session, event: &Event) {
    if let What::ProcessExit { .. } | What::ProcessGone = event.what {
        if ended_counts(session, event.pid) {
            session.moved(event.pid, event.t);
        }
        session.movement.ends(event.pid);
        return;
    }
    if let What::Sample(sample) = &event.what {
        sampled(session, event.t, sample);
        return;
    }
    if let What::Snapshot(snapshot) = &event.what {
        for socket in &snapshot.sockets {
            if let Some(info) = &socket.tcp {
                counted(session, event.t, socket.inode, &socket.state, info);
            }
        }
        session.movement.look_outside(event.t, snapshot);
        if session.is_first_look() {
            begin(session, event.t, snapshot);
        }
        return;
    }
    if let What::TcpClosed(sample) = &event.what {
        let known = session.whose_end(event.t, sample).and_then(|n| session.connections.get(n));
        let Some(c) = known else { return };
        let (pid, socket) = (c.pid, c.socket);
        let open = c.closed.is_none();
        if open && sample.tcp.bytes_received > c.bytes_received() {
            session.acted(pid, event.t);
        }
        if let Some(socket) = socket {
            session.movement.traffic.remove(&socket);
        }
        return;
    }
    if event.what == What::Continued {
        session.movement.continued.insert(event.pid, event.t);
    }
    if event_moves(session, event) {
        // A process that starts is not known yet: it moves its parent.
        let mover = match event.what {
            What::ProcessStart { ppid, .. } => ppid,
            _ => event.pid,
        };
        session.acted(mover, event.t);
    }
}

/// Of the time before gmtrace looked nothing is known: what it finds running may have moved just then.
fn begin(session: &mut Session, t: Nanos, snapshot: &Snapshot) {
    let found = snapshot.processes.iter().filter(|p| p.in_tree).map(|p| (p.pid, t));
    session.movement.last.extend(found);
}

fn event_moves(session: &Session, event: &Event) -> bool {
    match &event.what {
        // Go's first exec is preceded by a child that never execs, a probe of the kernel; its telemetry
        // child is nobody's work.
        What::ProcessStart { ppid, .. } => session.role_of_process(*ppid) != ProcessRole::Go,
        What::Exec(exec) => !exec.telemetry,
        What::ConnectEnd { socket, result, .. } => {
            result == "ok" && is_tcp(session, event.pid, *socket)
        }
        What::DnsAnswer { .. } | What::HttpResponse { .. } => true,
        What::GoResponse { status, .. } => status.is_some(),
        What::TlsReply { reply, .. } => !matches!(reply, TlsReply::Closed(_)),
        What::Read { bytes, .. } => bytes.is_some_and(|b| b > 0),
        What::LockEnd { result, .. } => match result {
            Some(result) => result == "ok",
            None => !is_ending(session, event.pid),
        },
        // A program that prints does something; what go says of an error is the end of a wait, and no movement.
        What::Output { fd, .. } => {
            fd.0 != 2 || session.role_of_process(event.pid) != ProcessRole::Go
        }
        _ => false,
    }
}

/// Whether `pid` was told to end: then a thread that has left a lock's queue, nobody knows how, has obtained nothing.
fn is_ending(session: &Session, pid: Pid) -> bool {
    let ends = |signal: &str| matches!(signal, "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT");
    session.signals.iter().any(|(_, to, signal, _)| *to == pid && ends(signal))
}

/// Whether a socket is one of TCP: connect(2) on one of UDP succeeds without anybody at the other end.
fn is_tcp(session: &Session, pid: Pid, socket: Option<Inode>) -> bool {
    let mut newest = session.connections.iter().rev();
    let known = newest.find(|c| c.pid == pid && c.socket == socket && c.closed.is_none());
    known.is_some_and(|c| c.transport == Transport::Tcp)
}

/// Whether the end of a process is movement: it was a program, or a helper of something that is not go.
fn ended_counts(session: &Session, pid: Pid) -> bool {
    let Some(process) = session.processes.get(&pid) else { return false };
    let telemetry = process.is_telemetry();
    let probe = process.role() == ProcessRole::Other
        && session.role_of_process(process.ppid) == ProcessRole::Go
        && session.process(process.ppid).is_some_and(|parent| parent.words() == process.words());
    !telemetry && !probe
}

fn sampled(session: &mut Session, t: Nanos, sample: &Sample) {
    for tcp in &sample.connections {
        counted(session, t, tcp.inode, &tcp.state, &tcp.tcp);
    }
    let mut used: Vec<(Pid, Used)> = Vec::new();
    for process in &sample.processes {
        if session.process(process.pid).is_some_and(super::Process::is_telemetry) {
            continue;
        }
        let Some(mut own) = take_sample(&mut session.movement, t, process) else { continue };
        if session.only_spins(process.pid, own.cpu) {
            (own.cpu, own.lasting) = (0.0, 0.0);
        }
        used.push((process.pid, own));
    }
    for (pid, own) in &used {
        if own.grows() {
            session.acted(*pid, t);
        } else if own.moves() {
            session.moved(*pid, t);
        }
    }
    // Many that use a little each move the command above them all.
    for clock in session.clocks() {
        let below = used.iter().filter(|(pid, _)| session.is_below(*pid, clock));
        let whole = below.fold(Used::default(), |sum, (_, own)| sum.plus(*own));
        if whole.moves() {
            session.moved(clock, t);
        }
    }
}

/// Takes in a sample of a process, unless one was taken a moment ago. Gives what it used since.
fn take_sample(movement: &mut Movement, t: Nanos, process: &ProcessSample) -> Option<Used> {
    let samples = movement.processes.entry(process.pid).or_default();
    if samples.back().is_some_and(|(then, _)| t.since(*then) < SHORTEST) {
        return None;
    }
    let own = samples.back().map(|(then, before)| Used::between(before, process, t.since(*then)));
    samples.push_back((t, process.clone()));
    while samples.get(1).is_some_and(|(then, _)| t.since(*then) >= LASTING) {
        samples.pop_front();
    }
    let own = own?;
    movement.cpu.insert(process.pid, own.cpu);
    let (oldest, first) = samples.front()?;
    let lasting = Used::between(first, process, t.since(*oldest).max(YOUNGEST));
    Some(Used { lasting: lasting.cpu, ..own })
}

/// Looks at the counters of one connection.
fn counted(session: &mut Session, t: Nanos, inode: Inode, state: &str, info: &TcpInfo) {
    let mut newest = session.connections.iter().rev();
    let known = newest.find(|c| c.socket == Some(inode) && c.closed.is_none());
    // A SYN that is answered was acknowledged.
    let answered = state == "ESTABLISHED" && known.is_some_and(|c| c.decided.is_none());
    let found =
        || session.found_connections.iter().find(|c| c.socket == Some(inode)).map(|c| c.pid);
    let owners = match known.map(|c| c.pid).or_else(found) {
        Some(pid) => vec![pid],
        // Nobody saw who connected: it may have been any of them.
        None if session.is_blind() => session.clocks(),
        None => Vec::new(),
    };
    let grew = session.movement.traffic.entry(inode).or_default().take(t, info);
    for pid in owners.into_iter().filter(|_| grew || answered) {
        session.acted(pid, t);
    }
}

/// What a process, or a tree of them, used between two samples.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    /// Bytes written.
    written: u64,
    /// Share of one CPU.
    cpu: f64,
    /// The same of the last [`LASTING`].
    lasting: f64,
}

impl Used {
    fn between(before: &ProcessSample, after: &ProcessSample, passed: Nanos) -> Used {
        let cpu = after.cpu_ns.saturating_sub(before.cpu_ns) as f64;
        Used {
            written: after.written.saturating_sub(before.written),
            cpu: if passed.0 > 0 { cpu / passed.0 as f64 } else { 0.0 },
            lasting: 0.0,
        }
    }

    fn plus(self, other: Used) -> Used {
        Used {
            written: self.written.saturating_add(other.written),
            cpu: self.cpu + other.cpu,
            lasting: self.lasting + other.lasting,
        }
    }

    fn grows(self) -> bool {
        self.written >= WRITTEN_THAT_MOVES
    }

    fn moves(self) -> bool {
        self.grows() || self.cpu.min(self.lasting) >= CPU_SHARE_THAT_MOVES
    }
}

#[cfg(test)]
mod tests;
