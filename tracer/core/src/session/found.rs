//! What only a snapshot shows: the connections and lock requests of processes whose system calls are not seen, such as the
//! holder of a lock that was started elsewhere. Made anew from each snapshot.

use super::{Connection, LockWait, Session};
use crate::event::{
    DescriptorTarget, LockKind, LockMode, ProcessState, Snapshot, Socket, Syscall, TcpSample,
    ThreadState, Transport,
};
use crate::units::{Fd, Nanos};

/// Standard input, output and error may be sockets that were inherited: they are nobody's wait.
const STANDARD: i32 = 2;

impl Session {
    /// Takes the connections and lock requests of those whose events are not seen from a snapshot.
    pub(super) fn find(&mut self, t: Nanos, snapshot: &Snapshot) {
        // With a backend of events the calls of the tree were seen, and know more.
        let without_events = self.header.backend.name == "proc";
        let unseen = |p: &&ProcessState| !p.in_tree || without_events;
        let processes = || snapshot.processes.iter().filter(unseen);
        let mut found: Vec<_> = processes().flat_map(|p| connections(t, p, snapshot)).collect();
        for connection in &mut found {
            let same = |c: &&Connection| {
                c.pid == connection.pid && c.socket == connection.socket && !c.is_established()
            };
            let known = self.found_connections.iter().find(same);
            if let Some(known) = known.filter(|_| !connection.is_established()) {
                connection.since = known.since;
            }
        }
        self.found_connections = found;
        let mut locks: Vec<LockWait> = processes().flat_map(|p| lock_waits(t, p)).collect();
        for lock in &mut locks {
            let same = |l: &&LockWait| l.tid == lock.tid && l.path == lock.path;
            lock.since = self.found_locks.iter().find(same).map_or(t, |known| known.since);
        }
        self.found_locks = locks;
    }
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
    let since =
        if established { t.since(Nanos::from_millis(tcp.last_data_sent_ms.into())) } else { t };
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
        request: None,
        response: None,
        tcp: Some((t, sample)),
        received_at: None,
        read_error: None,
        closed: None,
        exact: false,
        bodies: super::Bodies::default(),
    })
}

fn lock_waits(t: Nanos, process: &ProcessState) -> Vec<LockWait> {
    process.threads.iter().filter_map(|thread| lock_wait(t, process, thread)).collect()
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
