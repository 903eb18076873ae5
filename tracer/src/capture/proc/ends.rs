//! Who has the other end of what a process waits at: a pipe, a unix socket, a connection inside this machine.
//!
//! Ends are told apart by inode alone. Likely processes are looked at first; all of the machine only when an end was not found
//! among them.

use super::process::Seen;
use super::socket_ends::Ends;
use super::stat::Stat;
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
            let ends: BTreeSet<End> =
                fds.into_iter().filter_map(|fd| end_of(*pid, fd, wanted)).collect();
            if ends.is_empty() || self.is_being_started(*pid, &ends) {
                continue;
            }
            for end in ends {
                self.found.entry(end).or_default().insert(*pid);
            }
        }
    }

    /// Whether a process may be one that somebody above the command is just starting: from its fork until its exec is over it has all
    /// that its parent has open, and it does not sleep.
    fn is_being_started(&self, pid: Pid, ends: &BTreeSet<End>) -> bool {
        let Ok(stat) = Stat::read(format!("/proc/{pid}")) else { return true };
        if !self.above.contains(&stat.ppid) || matches!(stat.state, 'S' | 'T' | 't') {
            return false;
        }
        let parents =
            file::numbers(format!("/proc/{}/fd", stat.ppid), descriptors::MAX_DESCRIPTORS);
        let mut parents = parents.unwrap_or_default().into_iter();
        parents.any(|fd| end_of(stat.ppid, fd, ends).is_some())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    /// Both have the end that this process has too; one works, as what is just being started does.
    #[test]
    fn what_is_being_started_above_is_at_no_end() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let reader = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
        let wanted = BTreeSet::from([End::Reader(Inode(reader.metadata().unwrap().ino()))]);
        let own = Pid(std::process::id().cast_signed());
        for (line, state, counts) in [("sleep 60", 'S', true), ("while :; do :; done", 'R', false)]
        {
            let mut shell = Command::new("sh");
            let line = format!("exec 3<&0; {line}");
            shell.args(["-c", &line]).stdin(Stdio::from(reader.try_clone().unwrap()));
            let mut child = shell.spawn().unwrap();
            let pid = Pid(child.id().cast_signed());
            let begin = Instant::now();
            let is_so = || {
                let fds = file::numbers(format!("/proc/{pid}/fd"), 8).unwrap_or_default();
                fds.contains(&3)
                    && Stat::read(format!("/proc/{pid}")).is_ok_and(|stat| stat.state == state)
            };
            let ready = loop {
                match is_so() {
                    false if begin.elapsed() < Duration::from_secs(20) => {}
                    ready => break ready,
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            let mut search = Search { left: 100, found: BTreeMap::new(), above: [own].into() };
            search.look(&[pid], &wanted);
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(ready, "{line}");
            assert_eq!(!search.found.is_empty(), counts, "{line}");
        }
    }
}
