//! Processes of the tree.

use super::{ByLibc, Session};
use crate::event::{Event, Exec, Exit, ProcessRole, What};
use crate::units::{Nanos, Pid};

/// A process of the tree.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// Its id in its own pid namespace, where that differs.
    pub ns_pid: Option<Pid>,
    /// Its parent when it began.
    pub ppid: Pid,
    /// The program it runs, once it has called execve(2) or where it was found running one.
    pub exec: Option<Exec>,
    /// When it began.
    pub started: Nanos,
    /// When it ended.
    pub ended: Option<Nanos>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Stopped by this signal, since when.
    pub stopped: Option<(Nanos, String)>,
    /// How it is known that libc's getaddrinfo began in it, if it did.
    pub getaddrinfo: Option<ByLibc>,
    /// Calls of a foreign ABI, by its name.
    pub foreign: Option<String>,
}

impl Process {
    pub(super) fn new(pid: Pid, ppid: Pid, started: Nanos) -> Process {
        Process {
            pid,
            ns_pid: None,
            ppid,
            exec: None,
            started,
            ended: None,
            exit: None,
            stopped: None,
            getaddrinfo: None,
            foreign: None,
        }
    }

    /// What kind of program it runs.
    pub fn role(&self) -> ProcessRole {
        self.exec.as_ref().map(|e| e.role).unwrap_or_default()
    }

    /// Whether it is Go's telemetry child, which nobody waits for.
    pub fn is_telemetry(&self) -> bool {
        self.exec.as_ref().is_some_and(|e| e.telemetry)
    }

    /// Its words for a reader: `go mod download`.
    pub fn words(&self) -> String {
        self.exec.as_ref().map(|e| e.argv.join(" ")).unwrap_or_default()
    }
}

impl Session {
    pub(super) fn apply_process(&mut self, event: &Event) {
        match &event.what {
            What::ProcessStart { ppid, ns_pid } => self.start_process(event, *ppid, *ns_pid),
            What::Exec(exec) => {
                let process = self.at(event);
                process.exec = Some(exec.clone());
                process.getaddrinfo = None;
            }
            What::ProcessExit { exit, .. } => self.end_process(event, Some(exit)),
            What::ProcessGone => self.end_process(event, None),
            What::Stopped { signal } => {
                self.at(event).stopped = Some((event.t, signal.clone()));
            }
            What::Continued => self.at(event).stopped = None,
            What::GetaddrinfoStart { name, .. } => {
                let how = if name.is_some() { ByLibc::Seen } else { ByLibc::NscdStep };
                self.at(event).getaddrinfo = Some(how);
            }
            What::ForeignSyscall { abi, .. } => self.at(event).foreign = Some(abi.clone()),
            _ => {}
        }
    }

    /// The process of an event, made where its start was not seen.
    fn at(&mut self, event: &Event) -> &mut Process {
        self.processes.entry(event.pid).or_insert_with(|| Process::new(event.pid, Pid(0), event.t))
    }

    fn start_process(&mut self, event: &Event, ppid: Pid, ns_pid: Option<Pid>) {
        let mut process = Process::new(event.pid, ppid, event.t);
        process.ns_pid = ns_pid;
        // A fork runs its parent's program until it execs.
        process.exec = self.processes.get(&ppid).and_then(|p| p.exec.clone());
        if let Some(exec) = &mut process.exec {
            exec.role = ProcessRole::Other;
        }
        if let Some(old) = self.processes.insert(event.pid, process) {
            self.ended.push(old);
        }
    }

    fn end_process(&mut self, event: &Event, exit: Option<&Exit>) {
        self.over(event.pid, event.t, exit);
    }

    fn over(&mut self, pid: Pid, t: Nanos, exit: Option<&Exit>) {
        let Some(mut process) = self.processes.remove(&pid) else { return };
        process.ended = Some(t);
        process.exit = exit.cloned();
        process.stopped = None;
        self.close_of(pid, t);
        self.ended.push(process);
    }

    /// It is gone, and nobody saw how.
    pub(super) fn end_unseen(&mut self, pid: Pid, t: Nanos) {
        self.movement.ends(pid);
        self.over(pid, t, None);
    }

    /// What a process had open is closed, and what it waited for is over, when it ends.
    fn close_of(&mut self, pid: Pid, t: Nanos) {
        for connection in self.connections.iter_mut().filter(|c| c.pid == pid) {
            connection.closed.get_or_insert(t);
        }
        for lookup in self.lookups.iter_mut().filter(|l| l.pid == pid) {
            lookup.ended.get_or_insert(t);
        }
        for lock in self.locks.iter_mut().filter(|l| l.pid == pid) {
            lock.ended.get_or_insert(t);
        }
    }
}
