//! Who has the other end of what a process waits at: a pipe, a unix socket, a connection inside this machine.
//!
//! Ends are told apart by inode alone. Likely processes are looked at first; all of the machine only when an end was not found
//! among them.

use super::process::Seen;
use super::socket_ends::Ends;
use super::{descriptors, file, locks, tree};
use gmtrace_core::event::{
    Access, Descriptor, DescriptorTarget, ProcessRole, Syscall, UnixSocket, WaitsIn,
};
use gmtrace_core::units::{Fd, Inode, Pid};
use std::collections::{BTreeMap, BTreeSet};

/// At most this many descriptors are looked at in search of other ends, in one snapshot: about a second.
const MAX_SCANNED: usize = 100_000;

/// Whoever watches more than this at once serves many, and which of them it waits for cannot be told.
const MAX_WATCHED: usize = 32;

/// Standard input, output and error are somebody else's business, unless a thread sits in a call on one of them.
const STANDARD: i32 = 2;

/// What somebody else must have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The end of a pipe that is written to.
    Writer(Inode),
    /// The end of a pipe that is read.
    Reader(Inode),
    /// A socket.
    Socket(Inode),
}

/// The search for other ends, over one snapshot.
pub(super) struct Search {
    /// How many descriptors may still be looked at.
    left: usize,
    /// Who is at which end, of the ends that were looked for.
    found: BTreeMap<End, BTreeSet<Pid>>,
    /// Those who started the command wait for it, and are not waited for.
    above: BTreeSet<Pid>,
}

impl Search {
    /// A search on behalf of what runs below `root`.
    pub(super) fn new(root: Pid) -> Search {
        let own = Pid(std::process::id().cast_signed());
        let above = tree::above(root).into_iter().chain([own]).collect();
        Search { left: MAX_SCANNED, found: BTreeMap::new(), above }
    }

    /// The processes that are not among `known` and have the other end of what the `new` ones wait at.
    pub(super) fn outsiders(
        &mut self,
        new: &[Seen],
        known: &[Seen],
        sockets: &mut Ends,
    ) -> Vec<Pid> {
        let mut wanted: BTreeSet<End> = new.iter().flat_map(|p| ends(p, sockets)).collect();
        wanted.retain(|end| !self.found.contains_key(end) && !is_among(*end, known));
        if wanted.is_empty() {
            return Vec::new();
        }
        let looked_at: BTreeSet<Pid> = known.iter().map(|p| p.state.pid).collect();
        let (likely, others) = machine(&looked_at, &self.above);
        self.look(&likely, &wanted);
        wanted.retain(|end| !self.found.contains_key(end));
        if !wanted.is_empty() {
            self.look(&others, &wanted);
        }
        // What nobody was found for is not looked for again.
        for end in wanted {
            self.found.entry(end).or_default();
        }
        let found: BTreeSet<Pid> = self.found.values().flatten().copied().collect();
        found.into_iter().filter(|pid| !looked_at.contains(pid)).collect()
    }

    fn look(&mut self, pids: &[Pid], wanted: &BTreeSet<End>) {
        for pid in pids {
            let fds = file::numbers(
                format!("/proc/{pid}/fd"),
                descriptors::MAX_DESCRIPTORS.min(self.left),
            );
            let fds = fds.unwrap_or_default();
            self.left = self.left.saturating_sub(fds.len());
            for end in fds.into_iter().filter_map(|fd| end_of(*pid, fd, wanted)) {
                self.found.entry(end).or_default().insert(*pid);
            }
        }
    }
}

/// The end among `wanted` that a descriptor is.
fn end_of(pid: Pid, fd: i32, wanted: &BTreeSet<End>) -> Option<End> {
    match descriptors::target_of(pid, Fd(fd))? {
        DescriptorTarget::Socket(inode) => Some(End::Socket(inode)),
        DescriptorTarget::Pipe(inode)
            if wanted.contains(&End::Writer(inode)) || wanted.contains(&End::Reader(inode)) =>
        {
            match locks::FdInfo::read(pid, fd).ok()?.access? {
                Access::Read => Some(End::Reader(inode)),
                Access::Write | Access::Both => Some(End::Writer(inode)),
            }
        }
        _ => None,
    }
    .filter(|end| wanted.contains(end))
}

/// The processes that may be looked at: go, git and ssh, and the others.
fn machine(known: &BTreeSet<Pid>, above: &BTreeSet<Pid>) -> (Vec<Pid>, Vec<Pid>) {
    let mut everyone = tree::everyone();
    everyone.retain(|pid| !known.contains(pid) && !above.contains(pid));
    everyone.into_iter().partition(|pid| {
        let exe = file::link(format!("/proc/{pid}/exe")).ok();
        exe.is_some_and(|exe| tree::role(Some(&exe), "") != ProcessRole::Other)
    })
}

/// Whether a known process has this end.
fn is_among(end: End, known: &[Seen]) -> bool {
    let mut descriptors = known.iter().flat_map(|p| &p.state.descriptors);
    descriptors.any(|d| match (&d.target, end) {
        (DescriptorTarget::Socket(inode), End::Socket(wanted)) => *inode == wanted,
        (DescriptorTarget::Pipe(inode), End::Writer(wanted)) => {
            *inode == wanted && d.access != Some(Access::Read)
        }
        (DescriptorTarget::Pipe(inode), End::Reader(wanted)) => {
            *inode == wanted && d.access == Some(Access::Read)
        }
        _ => false,
    })
}

/// The other ends of what `process` waits at, as far as the kernel tells: the descriptor that a thread's call names; for a thread
/// that waits for any of several (poll, epoll) and for a Go process, whose threads do not say, those that can be waited for.
fn ends(process: &Seen, sockets: &mut Ends) -> Vec<End> {
    let state = &process.state;
    if matches!(state.state, 'Z' | 'X') {
        return Vec::new();
    }
    let calls = || state.threads.iter().filter_map(|thread| thread.syscall.as_ref());
    let named: BTreeSet<Fd> = calls().filter_map(Syscall::descriptor).collect();
    // Go's threads sleep in futex and epoll_pwait while goroutines wait for descriptors.
    let watches = calls().any(|call| call.waits_in() == WaitsIn::Watch);
    let watched = |d: &&Descriptor| {
        named.contains(&d.fd)
            || watches && d.fd.0 > STANDARD && !is_written_to(d) && !is_both_ends(state, d)
    };
    let found: BTreeSet<End> = state
        .descriptors
        .iter()
        .filter(watched)
        .filter_map(|d| other_end(d, process, sockets))
        .collect();
    if found.len() > MAX_WATCHED {
        return Vec::new();
    }
    found.into_iter().collect()
}

fn is_written_to(d: &Descriptor) -> bool {
    matches!(d.target, DescriptorTarget::Pipe(_)) && d.access == Some(Access::Write)
}

/// A pipe to itself, and make's job server, wake nobody else.
fn is_both_ends(state: &gmtrace_core::event::ProcessState, d: &Descriptor) -> bool {
    let DescriptorTarget::Pipe(_) = d.target else { return false };
    state.descriptors.iter().any(|other| other.target == d.target && other.access != d.access)
}

fn other_end(d: &Descriptor, process: &Seen, sockets: &mut Ends) -> Option<End> {
    match (&d.target, d.access) {
        (DescriptorTarget::Pipe(inode), Some(Access::Read)) => Some(End::Writer(*inode)),
        (DescriptorTarget::Pipe(inode), Some(Access::Write)) => Some(End::Reader(*inode)),
        (DescriptorTarget::Socket(inode), _) => {
            sockets.other_end(process.state.pid, *inode).map(End::Socket)
        }
        _ => None,
    }
}

/// The unix sockets of `seen`.
pub(super) fn unix_of(seen: &[Seen], sockets: &mut Ends) -> Vec<UnixSocket> {
    let owned = seen.iter().flat_map(Seen::sockets).collect();
    sockets.unix_of(&owned)
}
