//! What is true now, read from `/proc` and the kernel's socket tables: no stop, no signal, nothing opened that belongs to the target.

mod cgroup;
mod descriptors;
mod destroy;
mod diag;
mod ends;
mod file;
mod filesystem;
mod goroutines;
mod identity;
mod locks;
mod memory;
mod mounts;
mod peek;
mod process;
mod socket_ends;
mod sockets;
mod stat;
mod tcp_info;
mod terminals;
mod threads;
mod tree;
mod waits;

pub use destroy::{Watch, watch_destroyed};
pub use goroutines::{GoProgram, Goroutines};
pub use identity::Identity;
pub use mounts::may_not_answer;
pub use peek::tcp_counters;
pub use sockets::SocketFilter;
pub use threads::still_in_lock;
pub use tree::everyone;

use gmtrace_core::event::{
    self, CgroupState, GoRunning, GoWork, KernelLock, ProcessState, Sample, Snapshot, SnapshotCause,
};
use gmtrace_core::units::Pid;
use process::Seen;
use socket_ends::Ends;
use sockets::Sockets;
use std::collections::{BTreeMap, BTreeSet};

/// At most this many processes outside of the tree are looked into.
const MAX_OUTSIDERS: usize = 64;

/// At most this many lines of the lock table are kept.
const MAX_LOCKS: usize = 1024;

/// What a snapshot shall hold beyond processes, sockets, locks and control groups.
#[derive(Debug, Clone)]
pub struct SnapshotWants {
    /// Filesystems, as (purpose, absolute path in the view of the command).
    pub filesystems: Vec<(String, String)>,
    /// Files that may be there, in the view of the command: [`Snapshot::partial`].
    pub partial: Vec<String>,
    /// Whether holders of locks are looked for in every process, even when one was found at a likely place.
    pub scan_machine: bool,
    /// Whether the goroutines of Go programs are read.
    pub goroutines: bool,
}

impl Default for SnapshotWants {
    fn default() -> SnapshotWants {
        SnapshotWants {
            filesystems: Vec::new(),
            partial: Vec::new(),
            scan_machine: false,
            goroutines: true,
        }
    }
}

/// Reads `/proc`. Not for the thread that serves stops: a snapshot takes milliseconds, and a second for each filesystem that does not
/// answer.
pub struct Proc {
    sockets: Sockets,
    goroutines: Goroutines,
}

impl Default for Proc {
    fn default() -> Proc {
        Proc::new()
    }
}

impl Proc {
    /// Opens a netlink socket in the calling thread's network namespace; where that is refused, sockets have no TCP_INFO.
    pub fn new() -> Proc {
        Proc { sockets: Sockets::new(), goroutines: Goroutines::new() }
    }

    /// The living and the unreaped among `root`, `known` and all their descendants. A process that lost its parent is a
    /// descendant only if it is known.
    pub fn tree(&self, root: Pid, known: &[Pid]) -> Vec<Pid> {
        let first = std::iter::once(root).chain(known.iter().copied());
        tree::with_descendants(first, tree::MAX_PROCESSES)
    }

    /// What can move: counters of the TCP connections and of the processes. Those that are gone are left out.
    pub fn sample(&mut self, pids: &[Pid], sockets: &SocketFilter) -> Sample {
        Sample {
            connections: self.sockets.sample(pids, sockets),
            processes: pids.iter().filter_map(|pid| process::sample(*pid)).collect(),
        }
    }

    /// Everything about the tree of `root` and `known`, and about those outside that hold or wait for a lock that the tree waits for,
    /// with their descendants.
    pub fn snapshot(
        &mut self,
        cause: SnapshotCause,
        root: Pid,
        known: &[Pid],
        wants: &SnapshotWants,
    ) -> Snapshot {
        let mut unseen = Vec::new();
        let tree = self.tree(root, known);
        let mut seen: Vec<Seen> =
            tree.iter().filter_map(|pid| Seen::read(*pid, true, &mut unseen)).collect();
        let mut ends = self.sockets.ends();
        let locks = others(&mut seen, root, &mut ends, wants.scan_machine, &mut unseen);
        let unix = ends::unix_of(&seen, &mut ends);
        let terminals = terminals::read_by(&seen);
        if wants.goroutines {
            for process in &mut seen {
                self.read_goroutines(&mut process.state, &mut unseen);
            }
        }
        let owners: BTreeMap<_, _> =
            seen.iter().map(|process| (process.state.pid, process.sockets())).collect();
        let sockets = self.sockets.all(&owners, &mut unseen);
        let cgroups = cgroups(&seen);
        let filesystems = filesystem::filesystems(root, &wants.filesystems, &mut unseen);
        let partial = filesystem::present(root, &wants.partial);
        let processes = seen.into_iter().map(|process| process.state).collect();
        Snapshot {
            cause,
            processes,
            sockets,
            unix,
            terminals,
            locks,
            runnable: runnable(),
            cgroups,
            filesystems,
            partial,
            unseen,
        }
    }
}

impl Proc {
    /// What the goroutines of a go command work on; nothing where they cannot be read.
    pub fn work(&self, pid: Pid) -> Option<Vec<GoWork>> {
        // Without its descriptors it is not told which of them each waits for, and needs not be.
        let go = self.goroutines.read(pid, &[])?;
        go.unreadable.is_none().then(|| event::work(&go))
    }

    /// What runs in a Go program; nothing where that is not known.
    pub fn running(&self, pid: Pid) -> Option<GoRunning> {
        // Before the goroutines: what they have done since is not counted.
        let cpu_ns = process::cpu_ns(pid);
        let running = event::running(&self.goroutines.read(pid, &[])?)?;
        Some(GoRunning { cpu_ns, ..running })
    }

    fn read_goroutines(&self, process: &mut ProcessState, unseen: &mut Vec<String>) {
        process.go = self.goroutines.read(process.pid, &process.descriptors);
        if let Some(why) = process.go.as_ref().and_then(|go| go.unreadable.as_ref()) {
            let (pid, comm) = (process.pid, &process.comm);
            unseen.push(format!("goroutines of process {pid} ({comm}): {why}"));
        }
    }
}

/// Adds to `seen` those who hold or wait for a lock that is waited for, those who have the other end of what is waited at, and
/// those whom they wait for in turn.
fn others(
    seen: &mut Vec<Seen>,
    root: Pid,
    sockets: &mut Ends<'_>,
    scan_machine: bool,
    unseen: &mut Vec<String>,
) -> Vec<KernelLock> {
    let table = locks::table().unwrap_or_else(|error| {
        unseen.push(format!("the kernel's lock table: {error}"));
        Vec::new()
    });
    let mut search = ends::Search::new(root);
    let (mut waits, mut looked_at, inside) = (Vec::new(), 0, seen.len());
    add(seen, waits::behind(seen, &table), inside + MAX_OUTSIDERS, unseen);
    loop {
        let new = seen.get(looked_at..).unwrap_or_default();
        let mut outsiders = search.outsiders(new, seen, sockets);
        let found = new.iter().flat_map(|process| waits::of_process(process, &table));
        let mut found: Vec<_> = found.collect();
        looked_at = seen.len();
        outsiders.extend(waits::outsiders(&mut found, seen, &table, scan_machine));
        waits.append(&mut found);
        add(seen, outsiders, inside + MAX_OUTSIDERS, unseen);
        if seen.len() == looked_at {
            return waits::concerned(&waits, seen, table, MAX_LOCKS);
        }
    }
}

/// Adds outsiders and what runs below them, up to `most` processes in all.
fn add(seen: &mut Vec<Seen>, outsiders: Vec<Pid>, most: usize, unseen: &mut Vec<String>) {
    let room = most.saturating_sub(seen.len());
    let known: BTreeSet<Pid> = seen.iter().map(|process| process.state.pid).collect();
    let mut outsiders = tree::with_descendants(outsiders, MAX_OUTSIDERS);
    outsiders.retain(|pid| !known.contains(pid));
    if outsiders.len() > room {
        unseen.push(format!(
            "{} more processes at these locks and connections",
            outsiders.len() - room
        ));
    }
    outsiders.truncate(room);
    seen.extend(outsiders.into_iter().filter_map(|pid| Seen::read(pid, false, unseen)));
}

/// The fourth word of proc_loadavg(5) is `runnable/all`; one of them is the reader.
fn runnable() -> Option<u32> {
    let text = file::text("/proc/loadavg", 256).ok()?;
    let (runnable, _) = text.split_ascii_whitespace().nth(3)?.split_once('/')?;
    Some(runnable.parse::<u32>().ok()?.saturating_sub(1))
}

/// The control groups of the tree, each once.
fn cgroups(seen: &[Seen]) -> Vec<CgroupState> {
    let own = Pid(std::process::id().cast_signed());
    let mounts = mounts::of_process(own).unwrap_or_default();
    let tree = seen.iter().filter(|process| process.state.in_tree);
    let groups: BTreeSet<_> = tree.map(|process| &process.groups).collect();
    groups.into_iter().filter_map(|group| group.state(&mounts)).collect()
}
