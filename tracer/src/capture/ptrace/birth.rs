//! Processes and threads: how they begin, become another program, and end.
//!
//! A new thread is known from its own first stop, not from its parent's event: the two come in either order, and a number
//! may be used again between them (hard cases 6 and 7).

use super::engine::{Change, Ending, Engine, Next};
use super::process::{Process, Thread};
use super::program;
use super::spawn::status_field;
use super::sys;
use super::tracee::{Gone, Stopped};
use super::trap::KILLED;
use gmtrace_core::event::What;
use gmtrace_core::units::{Pid, Tid};
use std::fs;

/// What `/proc/TID/status` says of a thread that has just begun.
struct Newcomer {
    pid: Pid,
    parent: Pid,
    ns_pid: Option<Pid>,
}

impl Newcomer {
    fn look(tid: Tid) -> Option<Newcomer> {
        let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
        let number = |name| status_field(&status, name)?.parse().ok().map(Pid);
        // proc(5), NSpid: one number for each nested pid namespace, the innermost last.
        let mut names = status_field(&status, "NSpid").unwrap_or_default().split_whitespace();
        let innermost = names.nth(1).map(|second| names.last().unwrap_or(second));
        Some(Newcomer {
            pid: number("Tgid")?,
            parent: number("PPid")?,
            ns_pid: innermost.and_then(|pid| pid.parse().ok()).map(Pid),
        })
    }
}

impl Engine {
    /// A thread is making another. The child's own first stop tells the rest; only who its parent is may be gone by then.
    pub(super) fn birth(&mut self, thread: &Stopped) -> Result<Next, Gone> {
        let child = Tid(thread.event_message()? as i32);
        self.is_maker_of(thread, child);
        if let Some(pid) = self.pid_of(thread)
            && !self.threads.contains_key(&child)
        {
            self.births.insert(child, pid);
        }
        Ok(Next::Run)
    }

    /// The first stop of a thread that is not known.
    pub(super) fn meet(&mut self, tid: Tid) {
        let parent = self.births.remove(&tid);
        if let Some(parent) = parent
            && sys::is_thread_of(parent.0, tid.0)
        {
            return self.add_thread(tid, parent);
        }
        let found = if self.proc_is_foreign { None } else { Newcomer::look(tid) };
        let pid = match &found {
            Some(found) => found.pid,
            None => self.process_of(tid).unwrap_or(Pid(tid.0)),
        };
        if Tid::from(pid) != tid {
            return self.add_thread(tid, pid);
        }
        let ppid = parent.or(found.as_ref().map(|found| found.parent)).unwrap_or_default();
        self.add_process(pid, ppid, found.and_then(|found| found.ns_pid));
    }

    /// The process of a thread that `/proc` does not show.
    fn process_of(&self, tid: Tid) -> Option<Pid> {
        let mut others = self.processes.keys().filter(|pid| pid.0 != tid.0);
        others.find(|pid| sys::is_thread_of(pid.0, tid.0)).copied()
    }

    fn add_thread(&mut self, tid: Tid, pid: Pid) {
        self.threads.insert(tid, Thread::new(pid));
        let process = self.processes.entry(pid).or_insert_with(|| Process::new(true, None));
        process.threads.push(tid);
    }

    fn add_process(&mut self, pid: Pid, ppid: Pid, ns_pid: Option<Pid>) {
        let parent = self.processes.get(&ppid);
        let told = parent.is_none_or(|parent| parent.told) && self.follow_children;
        let mut process = Process::new(told, ns_pid);
        process.mounts = parent.and_then(|parent| parent.mounts.clone());
        process.threads.push(Tid::from(pid));
        self.processes.insert(pid, process);
        self.threads.insert(Tid::from(pid), Thread::new(pid));
        self.tell(pid, Tid::from(pid), What::ProcessStart { ppid, ns_pid });
    }

    /// execve(2) has succeeded. All other threads are gone, some without a word, and the one that called has the process's own
    /// id now (ptrace(2), "execve(2) under ptrace").
    pub(super) fn exec(&mut self, thread: &Stopped) -> Result<Next, Gone> {
        let tid = thread.id();
        let Some(pid) = self.pid_of(thread) else { return Ok(Next::Run) };
        self.say_the_rest(pid);
        let Some(process) = self.processes.get_mut(&pid) else { return Ok(Next::Run) };
        process.became_another_program();
        let others = std::mem::replace(&mut process.threads, vec![tid]);
        for other in others {
            self.forget_thread(other);
        }
        self.threads.insert(tid, Thread::new(pid));
        if pid == self.command && !std::mem::replace(&mut self.started, true) {
            let ppid = Pid(self.own_pid);
            self.tell(pid, tid, What::ProcessStart { ppid, ns_pid: None });
        }
        if self.is_told(pid) {
            self.tell(pid, tid, What::Exec(program::describe(pid)));
        }
        Ok(Next::Run)
    }

    /// A thread has ended; with the last of its threads, the process (its first thread is reported last: wait(2) keeps it back
    /// until the others are gone).
    pub(super) fn ended(&mut self, tid: Tid, ending: Ending, cpu_ns: u64) {
        self.births.remove(&tid);
        let Some(pid) = self.threads.get(&tid).map(|thread| thread.pid) else { return };
        self.arrived(tid);
        self.forget_thread(tid);
        self.release_process(pid);
        if Tid::from(pid) != tid {
            if let Some(process) = self.processes.get_mut(&pid) {
                process.threads.retain(|thread| *thread != tid);
            }
            return;
        }
        self.say_the_rest(pid);
        let exit = What::ProcessExit { exit: ending.into(), cpu_ns };
        if pid == self.command {
            self.send_last(pid, exit);
        } else {
            self.tell(pid, tid, exit);
        }
        let process = self.processes.remove(&pid);
        for thread in process.map(|process| process.threads).unwrap_or_default() {
            self.threads.remove(&thread);
        }
        if pid == self.command {
            self.changed(Change::Ended(ending));
        }
    }

    /// Forgets a thread; a lock it waited for is over, one way or another.
    fn forget_thread(&mut self, tid: Tid) {
        self.forget_hidden(tid);
        if let Some(call) = self.threads.remove(&tid).and_then(|thread| thread.call) {
            self.abandon(call, Some(KILLED));
        }
    }
}
