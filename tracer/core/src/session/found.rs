//! What only a snapshot shows: the connections and lock requests of processes whose system calls are not seen, such as the
//! holder of a lock that was started elsewhere. Made anew from each snapshot.

use super::{ByLibc, Connection, LockWait, Lookup, Question, Session};
use crate::event::{
    DescriptorTarget, KernelLock, LockKind, LockMode, ProcessRole, ProcessState, ResolverKind,
    Snapshot, Socket, Syscall, TcpInfo, TcpSample, ThreadState, Transport,
};
use crate::units::{Fd, Nanos, Pid};

/// Standard input, output and error may be sockets that were inherited: they are nobody's wait.
const STANDARD: i32 = 2;
/// Where name servers listen.
const DNS: u16 = 53;

impl Session {
    /// Takes the connections, lock requests and look-ups of those whose events are not seen, or were lost, from a snapshot.
    pub(super) fn find(&mut self, t: Nanos, snapshot: &Snapshot) {
        // With a backend of events the calls of the tree were seen, and know more.
        let blind = self.is_blind();
        let unseen = |p: &&ProcessState| !p.in_tree || blind;
        let processes = || snapshot.processes.iter().filter(unseen);
        let mut found: Vec<_> = processes().flat_map(|p| connections(t, p, snapshot)).collect();
        found.retain(|c| !self.is_known_connection(c));
        for connection in &mut found {
            let socket = connection.socket;
            connection.before_pings = socket.and_then(|inode| self.movement.before_pings(inode));
            let same = |c: &&Connection| {
                c.pid == connection.pid && c.socket == connection.socket && !c.is_established()
            };
            let known = self.found_connections.iter().find(same);
            if let Some(known) = known.filter(|_| !connection.is_established()) {
                connection.since = known.since;
            }
        }
        self.found_connections = found;
        let mut locks: Vec<LockWait> =
            processes().flat_map(|p| lock_waits(t, p, snapshot)).collect();
        let left = self.left_locks(t, &locks, snapshot);
        locks.retain(|lock| {
            !self
                .locks
                .iter()
                .any(|l| l.tid == lock.tid && l.path == lock.path && l.ended.is_none())
        });
        for lock in &mut locks {
            let same = |l: &&LockWait| l.tid == lock.tid && l.path == lock.path;
            lock.since = self.found_locks.iter().find(same).map_or(t, |known| known.since);
        }
        left.into_iter().for_each(|pid| self.acted(pid, t));
        self.found_locks = locks;
        let mut lookups: Vec<Lookup> = processes().filter_map(|p| lookup(t, p, snapshot)).collect();
        lookups.retain(|found| !self.lookups.iter().any(|l| l.pid == found.pid && !l.is_over()));
        for lookup in &mut lookups {
            self.continue_lookup(lookup);
        }
        self.found_lookups = lookups;
    }

    /// Those of the tree that waited for a lock in the snapshot before, and no longer do: the thread sits in another call now, or waits
    /// for another lock, and nobody else of its process waits for that one. They may have moved in no other way that shows.
    fn left_locks(&self, t: Nanos, waits: &[LockWait], snapshot: &Snapshot) -> Vec<Pid> {
        let is_left = |before: &&LockWait| {
            let process = snapshot.processes.iter().find(|p| p.pid == before.pid);
            let Some(process) = process else { return false };
            let thread = process.threads.iter().find(|t| t.tid == before.tid);
            let asleep = thread.filter(|thread| thread.sleeps());
            let Some((thread, call)) = asleep.and_then(|t| Some((t, t.syscall.as_ref()?))) else {
                return false;
            };
            let elsewhere = match (asked(call), lock_wait(t, process, thread)) {
                (None, _) => true,
                (Some((fd, ..)), _) if fd != before.fd => true,
                (_, Some(now)) => name_of(&now.path) != name_of(&before.path),
                (_, None) => false,
            };
            let same =
                |w: &LockWait| w.pid == before.pid && name_of(&w.path) == name_of(&before.path);
            elsewhere && !waits.iter().any(same)
        };
        let known = self.found_locks.iter().filter(|w| self.processes.contains_key(&w.pid));
        known.filter(is_left).map(|w| w.pid).collect()
    }

    /// A look-up at the same server that the snapshot before showed too goes on.
    fn continue_lookup(&self, lookup: &mut Lookup) {
        let known = self.found_lookups.iter().filter(|l| l.pid == lookup.pid);
        let known: Vec<&Question> = known.flat_map(|l| &l.questions).collect();
        for question in &mut lookup.questions {
            let same = known.iter().find(|q| q.server == question.server);
            question.t = same.map_or(question.t, |q| q.t);
            lookup.since = lookup.since.min(question.t);
        }
    }
}

/// The path of an open file, which says so where the file was deleted meanwhile (proc_pid_fd(5)).
fn name_of(path: &str) -> &str {
    path.strip_suffix(" (deleted)").unwrap_or(path)
}

fn connections(t: Nanos, process: &ProcessState, snapshot: &Snapshot) -> Vec<Connection> {
    let sockets = |d: &crate::event::Descriptor| match d.target {
        DescriptorTarget::Socket(inode) if d.fd.0 > STANDARD => {
            snapshot.sockets.iter().find(|s| s.inode == inode).map(|s| (d.fd, s))
        }
        _ => None,
    };
    let owned: Vec<(Fd, &Socket)> = process.descriptors.iter().filter_map(sockets).collect();
    // What was accepted has the port of a socket that listens: there others wait for this process.
    let listens =
        |port: u16| owned.iter().any(|(_, s)| s.state == "LISTEN" && s.local.port() == port);
    let mut called = owned.iter().filter(|(_, s)| !listens(s.local.port()));
    called.by_ref().filter_map(|(fd, s)| connection(t, process, *fd, s)).collect()
}

fn connection(t: Nanos, process: &ProcessState, fd: Fd, socket: &Socket) -> Option<Connection> {
    let (Transport::Tcp, Some(peer), Some(tcp)) = (socket.protocol, socket.peer, socket.tcp) else {
        return None;
    };
    let sample = TcpSample {
        inode: socket.inode,
        local: socket.local,
        peer,
        state: socket.state.clone(),
        tcp,
    };
    let established = match socket.state.as_str() {
        "SYN_SENT" => false,
        "ESTABLISHED" => true,
        _ => return None,
    };
    let since = if established {
        t.since(Nanos::from_millis(tcp.last_data_sent_ms.into()))
    } else {
        t.since(asking(&tcp))
    };
    Some(Connection {
        pid: process.pid,
        tid: process.pid.into(),
        fd,
        socket: Some(socket.inode),
        transport: Transport::Tcp,
        peer,
        since,
        decided: established.then(|| (since, "ok".to_owned())),
        hello: None,
        tls_reply: None,
        request: established.then(|| super::tunnel::asked_of(process, peer, since, &tcp)).flatten(),
        response: None,
        tcp: Some((t, sample)),
        before_pings: None,
        received_at: None,
        read_error: None,
        closed: None,
        exact: false,
        known: None,
        left_alone: None,
        bodies: super::Bodies::default(),
        asked: Vec::new(),
    })
}

/// For how long a connection has been asked for, at least: the first SYN is sent again after a second, and none of the next
/// ones comes sooner than that after the one before (RFC 6298; since Linux 6.5 the first four a second apart,
/// tcp_syn_linear_timeouts of ip-sysctl).
fn asking(tcp: &TcpInfo) -> Nanos {
    Nanos::from_secs(tcp.retransmits.max(tcp.total_retransmits).into())
}

/// A socket that is connected to a resolver, and has nothing to read: Go and libc open one for each question, over UDP or where the
/// answer did not fit over TCP, and close it at the answer. Of other programs nothing is known.
fn lookup(t: Nanos, process: &ProcessState, snapshot: &Snapshot) -> Option<Lookup> {
    if process.role == ProcessRole::Other {
        return None;
    }
    let asked = process.descriptors.iter().filter_map(|d| {
        let DescriptorTarget::Socket(inode) = d.target else { return None };
        let socket = snapshot.sockets.iter().find(|s| s.inode == inode)?;
        let server = socket.peer.filter(|peer| peer.port() == DNS)?;
        (socket.receive_queue == 0).then(|| Question {
            t,
            server: Some(server),
            socket: Some(inode),
            id: 0,
            qtype: String::new(),
            answer: None,
            error: None,
        })
    });
    let questions: Vec<Question> = asked.collect();
    let polls =
        process.threads.iter().find(|t| t.syscall.as_ref().is_some_and(|call| call.name == "poll"));
    (!questions.is_empty()).then(|| Lookup {
        pid: process.pid,
        tid: polls.map_or(process.pid.into(), |thread| thread.tid),
        name: String::new(),
        via: if polls.is_some() { ResolverKind::Libc } else { ResolverKind::Go },
        questions,
        since: t,
        ended: None,
        getaddrinfo: polls.map(|_| ByLibc::Polls),
        goroutine: None,
        modules: Vec::new(),
        found: true,
    })
}

fn lock_waits(t: Nanos, process: &ProcessState, snapshot: &Snapshot) -> Vec<LockWait> {
    if process.threads.iter().all(|thread| thread.syscall.is_none()) {
        return listed_waits(t, process, snapshot);
    }
    let asleep = process.threads.iter().filter(|thread| thread.sleeps());
    asleep.filter_map(|thread| lock_wait(t, process, thread)).collect()
}

/// Where the system calls of a process may not be read, the kernel's lock table says that it waits, and a holder's open file
/// for what.
fn listed_waits(t: Nanos, process: &ProcessState, snapshot: &Snapshot) -> Vec<LockWait> {
    let waiting = snapshot.locks.iter().filter(|line| line.waiting && line.pid == process.pid);
    waiting.filter_map(|line| listed_wait(t, process, line, snapshot)).collect()
}

fn listed_wait(
    t: Nanos,
    process: &ProcessState,
    line: &KernelLock,
    snapshot: &Snapshot,
) -> Option<LockWait> {
    let mut opened = snapshot.processes.iter().flat_map(|p| &p.descriptors);
    let held = opened.find(|d| d.locks.iter().any(|lock| lock.file == line.file))?;
    let DescriptorTarget::File(path) = &held.target else { return None };
    let own = process.descriptors.iter().find(|d| d.target == held.target)?;
    Some(LockWait {
        pid: process.pid,
        tid: process.pid.into(),
        fd: own.fd,
        path: path.clone(),
        kind: line.kind,
        mode: line.mode,
        since: t,
        ended: None,
        result: None,
        known_by: None,
    })
}

fn lock_wait(t: Nanos, process: &ProcessState, thread: &ThreadState) -> Option<LockWait> {
    let (fd, kind, mode) = asked(thread.syscall.as_ref()?)?;
    let descriptor = process.descriptors.iter().find(|d| d.fd == fd)?;
    let DescriptorTarget::File(path) = &descriptor.target else { return None };
    Some(LockWait {
        pid: process.pid,
        tid: thread.tid,
        fd,
        path: path.clone(),
        kind,
        mode,
        since: t,
        ended: None,
        result: None,
        known_by: None,
    })
}

/// The lock that a call waits for: flock(2) without LOCK_NB and LOCK_UN, fcntl(2) F_SETLKW (7) and F_OFD_SETLKW (38), whose mode
/// is in memory and counts as exclusive here.
fn asked(call: &Syscall) -> Option<(Fd, LockKind, LockMode)> {
    let [fd, command, ..] = call.args;
    // Both are ints: the upper half of a register has no meaning.
    let int = |register: u64| i32::try_from(register & 0xffff_ffff).ok();
    let (kind, mode) = match (call.name.as_str(), int(command)?) {
        ("flock", 1) => (LockKind::Flock, LockMode::Shared),
        ("flock", 2) => (LockKind::Flock, LockMode::Exclusive),
        ("fcntl" | "fcntl64", 7) => (LockKind::Posix, LockMode::Exclusive),
        ("fcntl" | "fcntl64", 38) => (LockKind::Ofd, LockMode::Exclusive),
        _ => return None,
    };
    Some((Fd(int(fd)?), kind, mode))
}
