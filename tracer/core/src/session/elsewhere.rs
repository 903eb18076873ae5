//! Connections that nobody waits for: where no goroutines tell, the threads of a process do, if each of them sits in a call that
//! names what it waits for.

use super::Session;
use crate::event::{DescriptorTarget, ProcessState, Snapshot, Syscall, WaitsIn};
use crate::units::Inode;

impl Session {
    /// Which connections nobody waited for when a snapshot was taken. That holds until something comes.
    pub(super) fn take_threads(&mut self, snapshot: &Snapshot) {
        for process in snapshot.processes.iter().filter(|process| process.go.is_none()) {
            let connections = self.connections.iter_mut().chain(&mut self.found_connections);
            for c in connections.filter(|c| c.pid == process.pid && c.closed.is_none()) {
                let left = c.socket.is_some_and(|socket| waits_elsewhere(process, socket));
                c.left_alone = left.then(|| c.bytes_received());
            }
        }
    }
}

/// Whether every thread waits for something that is not this socket. A thread that runs, or watches several descriptors, may turn to
/// it; threads that wait for one another only may do so at any time.
fn waits_elsewhere(process: &ProcessState, socket: Inode) -> bool {
    let elsewhere = |call: &Syscall| match call.waits_in() {
        WaitsIn::Watch | WaitsIn::Other => false,
        _ => !is_on(process, call, socket),
    };
    let calls = || process.threads.iter().map(|thread| thread.syscall.as_ref());
    calls().all(|call| call.is_some_and(elsewhere))
        && calls().flatten().any(|call| call.waits_in() != WaitsIn::Thread)
}

fn is_on(process: &ProcessState, call: &Syscall, socket: Inode) -> bool {
    let Some(fd) = call.descriptor() else { return false };
    let named = process.descriptors.iter().find(|d| d.fd == fd);
    // What is not known may be the socket.
    named.is_none_or(|d| d.target == DescriptorTarget::Socket(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Descriptor, ThreadState};
    use crate::units::{Fd, Tid};

    const SOCKET: Inode = Inode(77);

    fn waits(calls: &[Option<(&str, u64)>]) -> bool {
        let descriptor = |fd, target| Descriptor {
            fd: Fd(fd),
            target,
            locks: Vec::new(),
            pos: None,
            access: None,
            close_on_exec: true,
        };
        let thread = |call: &Option<(&str, u64)>| ThreadState {
            tid: Tid(1),
            syscall: call.map(|(name, first)| Syscall {
                nr: 0,
                name: name.to_owned(),
                args: [first, 0, 0, 0, 0, 0],
            }),
            ..ThreadState::default()
        };
        let process = ProcessState {
            threads: calls.iter().map(thread).collect(),
            descriptors: vec![
                descriptor(4, DescriptorTarget::Socket(SOCKET)),
                descriptor(5, DescriptorTarget::Pipe(Inode(9))),
            ],
            ..ProcessState::default()
        };
        waits_elsewhere(&process, SOCKET)
    }

    #[test]
    fn only_threads_that_all_wait_for_something_else_leave_a_socket_alone() {
        assert!(waits(&[Some(("read", 5))]));
        assert!(waits(&[Some(("wait4", 4))]));
        assert!(waits(&[Some(("futex", 0)), Some(("read", 5))]));
        assert!(!waits(&[Some(("read", 4))]));
        assert!(!waits(&[Some(("read", 6))]), "a descriptor that was not seen");
        assert!(!waits(&[Some(("poll", 5))]));
        assert!(!waits(&[Some(("read", 5)), None]), "a thread that runs");
        assert!(!waits(&[Some(("futex", 0))]));
        assert!(!waits(&[]));
    }
}
