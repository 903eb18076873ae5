//! What is true now, read from `/proc` and the kernel's socket tables: no stop, no signal, nothing opened that belongs to the target.

mod cgroup;
mod descriptors;
mod destroy;
mod diag;
mod file;
mod filesystem;
mod locks;
mod mounts;
mod process;
mod sockets;
mod stat;
mod tcp_info;
mod threads;
mod tree;
mod waits;

pub use destroy::{Watch, watch_destroyed};
pub use mounts::may_not_answer;
pub use sockets::SocketFilter;
pub use threads::still_in_lock;

use gmtrace_core::event::{CgroupState, KernelLock, Sample, Snapshot, SnapshotCause};
use gmtrace_core::units::Pid;
use process::Seen;
use sockets::Sockets;
use std::collections::{BTreeMap, BTreeSet};

/// At most this many processes outside of the tree are looked into.
const MAX_OUTSIDERS: usize = 64;

/// At most this many lines of the lock table are kept.
const MAX_LOCKS: usize = 1024;

/// What a snapshot shall hold beyond processes, sockets, locks and control groups.
#[derive(Debug, Clone, Default)]
pub struct SnapshotWants {
    /// Filesystems, as (purpose, absolute path in the view of the command).
    pub filesystems: Vec<(String, String)>,
    /// Whether holders of locks are looked for in every process, even when one was found at a likely place.
    pub scan_machine: bool,
}

/// Reads `/proc`. Not for the thread that serves stops: a snapshot takes milliseconds, and a second for each filesystem that does not
/// answer.
pub struct Proc {
    sockets: Sockets,
}

impl Default for Proc {
    fn default() -> Proc {
        Proc::new()
    }
}

impl Proc {
    /// Opens a netlink socket in the calling thread's network namespace; where that is refused, sockets have no TCP_INFO.
    pub fn new() -> Proc {
        Proc { sockets: Sockets::new() }
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
        let locks = locks(&mut seen, wants.scan_machine, &mut unseen);
        let owners: BTreeMap<_, _> =
            seen.iter().map(|process| (process.state.pid, process.sockets())).collect();
        let sockets = self.sockets.all(&owners, &mut unseen);
        let cgroups = cgroups(&seen);
        let filesystems = filesystem::filesystems(root, &wants.filesystems, &mut unseen);
        let processes = seen.into_iter().map(|process| process.state).collect();
        Snapshot { cause, processes, sockets, locks, cgroups, filesystems, unseen }
    }
}

/// Adds to `seen` those who hold or wait for what is waited for, and those whom they wait for in turn.
fn locks(seen: &mut Vec<Seen>, scan_machine: bool, unseen: &mut Vec<String>) -> Vec<KernelLock> {
    let table = locks::table().unwrap_or_else(|error| {
        unseen.push(format!("the kernel's lock table: {error}"));
        Vec::new()
    });
    let (mut waits, mut looked_at, inside) = (Vec::new(), 0, seen.len());
    loop {
        let new = seen.get(looked_at..).unwrap_or_default();
        let found = new.iter().flat_map(|process| waits::of_process(process, &table));
        let mut found: Vec<_> = found.collect();
        looked_at = seen.len();
        let outsiders = waits::outsiders(&mut found, seen, &table, scan_machine);
        waits.append(&mut found);
        let room = (inside + MAX_OUTSIDERS).saturating_sub(seen.len());
        let known: BTreeSet<Pid> = seen.iter().map(|process| process.state.pid).collect();
        let mut outsiders = tree::with_descendants(outsiders, MAX_OUTSIDERS);
        outsiders.retain(|pid| !known.contains(pid));
        if outsiders.len() > room {
            unseen.push(format!("{} more processes at these locks", outsiders.len() - room));
        }
        outsiders.truncate(room);
        seen.extend(outsiders.into_iter().filter_map(|pid| Seen::read(pid, false, unseen)));
        if seen.len() == looked_at {
            return waits::concerned(&waits, seen, table, MAX_LOCKS);
        }
    }
}

/// The control groups of the tree, each once.
fn cgroups(seen: &[Seen]) -> Vec<CgroupState> {
    let own = Pid(std::process::id().cast_signed());
    let mounts = mounts::of_process(own).unwrap_or_default();
    let tree = seen.iter().filter(|process| process.state.in_tree);
    let groups: BTreeSet<_> = tree.map(|process| &process.groups).collect();
    groups.into_iter().filter_map(|group| group.state(&mounts)).collect()
}
