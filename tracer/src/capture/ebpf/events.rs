//! What the records say, as events.

mod functions;
mod network;
mod signals;

use self::network::Message;
use super::calls::Calls;
use super::probes::GoPoints;
use super::wire::Record;
use crate::capture::clock::Clock;
use crate::capture::ptrace::{PendingLock, PendingLocks, SeenSignals, program, signal_name};
use gmtrace_abi as abi;
use gmtrace_abi::{Head, Kind};
use gmtrace_core::event::{Event, Exec, Exit, KnownBy, LockKind, LockMode, ProcessRole, What};
use gmtrace_core::units::{Fd, Inode, Pid, Tid};
use nix::errno::Errno;
use std::collections::{HashMap, HashSet};
use std::fs;

/// Connections and datagram sockets that are remembered; then all are forgotten, and at the worst told of again.
const REMEMBERED: usize = 16 * 1024;

/// A record, or what has been read of it at once.
#[derive(Debug)]
pub enum Known {
    /// As it came.
    Record(Record),
    /// A program that began.
    Program(Box<Exec>),
}

/// Puts records into words. What they leave out is read from `/proc`, while it is still there.
#[derive(Debug)]
pub struct Translator {
    clock: Clock,
    command: Option<Pid>,
    /// Whether children are told of.
    follow_children: bool,
    /// Calls of Go functions.
    calls: Calls,
    /// When a connection attempt was last told of, and its socket, by process and descriptor.
    attempts: HashMap<(Pid, Fd), (u64, Inode)>,
    /// Locks that are waited for: the thread, the file's device and inode, and its number among the pending ones.
    waiting: HashMap<Tid, ((u32, u64), u64)>,
    locks: PendingLocks,
    next_lock: u64,
    /// Datagram sockets that were told of.
    datagrams: HashSet<Inode>,
    /// What is known of a connection's first bytes.
    streams: HashMap<Inode, Stream>,
    /// Processes in which libc has begun a look-up.
    libc: HashSet<Pid>,
    /// Those that run the go command.
    go: HashSet<Pid>,
    /// Processes that a signal has stopped.
    stopped: HashSet<Pid>,
    signals: HashMap<Pid, u32>,
    /// Those that reach the command, for who passes them on.
    seen: SeenSignals,
    events: Vec<Event>,
}

/// What a connection has shown of itself.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// A ClientHello was sent, and nothing has come back.
    awaits_tls: bool,
    /// What goes over it is TLS.
    tls: bool,
}

impl Translator {
    /// For a run of `command`.
    pub fn new(
        clock: Clock,
        command: Option<Pid>,
        follow_children: bool,
        (seen, locks): (SeenSignals, PendingLocks),
    ) -> Translator {
        Translator {
            clock,
            command,
            follow_children,
            calls: Calls::default(),
            attempts: HashMap::new(),
            waiting: HashMap::new(),
            locks,
            next_lock: 0,
            datagrams: HashSet::new(),
            streams: HashMap::new(),
            libc: HashSet::new(),
            go: HashSet::new(),
            stopped: HashSet::new(),
            signals: HashMap::new(),
            seen,
            events: Vec::new(),
        }
    }

    /// The events of a record. Records come in the order in which things happened.
    pub fn events(&mut self, head: Head, known: Known, go: &GoPoints) -> Vec<Event> {
        let kind = Kind::ALL.get(head.kind as usize).copied();
        let record = match known {
            Known::Program(exec) => {
                self.became(&head, *exec);
                return std::mem::take(&mut self.events);
            }
            Known::Record(record) => record,
        };
        match record {
            Record::Fork(fork) => self.forked(&head, &fork),
            // Described when it came.
            Record::Exec(_) => {}
            Record::Exit(exit) => self.exited(&head, exit.status),
            Record::Connection(connection) => {
                self.connection(&head, &connection, kind == Some(Kind::ConnectEnd));
            }
            Record::Transfer(t) => self.transfer(&head, kind, &Message::of(&t)),
            Record::Lock(lock) => self.lock(&head, kind == Some(Kind::Flock), &lock),
            Record::Signal(signal) => self.signal(&head, &signal),
            Record::Stop(stop) => self.stopped(&head, stop.signal.cast_signed()),
            Record::Call(call) => self.call(&head, kind, &call, go),
            Record::ShortOutput(o) => self.logged(&head, o.length, used(&o.text, o.kept)),
            Record::LongOutput(o) => self.logged(&head, o.length, used(&o.text, o.kept)),
            Record::Lookup(lookup) => {
                self.look_up(&head, &lookup, kind == Some(Kind::LookupStart));
            }
        }
        std::mem::take(&mut self.events)
    }

    fn tell(&mut self, head: &Head, what: What) {
        self.tell_of(head, (pid(head.pid), Tid(head.tid.cast_signed())), what);
    }

    fn tell_of(&mut self, head: &Head, (pid, tid): (Pid, Tid), what: What) {
        if self.follow_children || Some(pid) == self.command {
            self.events.push(Event { t: self.clock.at(head.t), pid, tid, what });
        }
    }

    fn forked(&mut self, head: &Head, fork: &abi::Fork) {
        let (child, inside) = (pid(fork.child), pid(fork.child_inside));
        let ns_pid = (inside != child).then_some(inside);
        let what = What::ProcessStart { ppid: pid(head.pid), ns_pid };
        self.tell_of(head, (child, child.into()), what);
    }

    fn became(&mut self, head: &Head, exec: Exec) {
        let pid = pid(head.pid);
        self.libc.remove(&pid);
        self.go.remove(&pid);
        if exec.role == ProcessRole::Go {
            self.go.insert(pid);
        }
        self.calls.forget(pid);
        self.tell(head, What::Exec(exec));
    }

    fn exited(&mut self, head: &Head, status: u32) {
        let pid = pid(head.pid);
        self.libc.remove(&pid);
        self.go.remove(&pid);
        self.calls.forget(pid);
        self.attempts.retain(|(process, _), _| *process != pid);
        self.signals.remove(&pid);
        self.stopped.remove(&pid);
        // The command's own end is told by its parent, which has its CPU time too.
        if Some(pid) != self.command {
            self.tell_of(
                head,
                (pid, pid.into()),
                What::ProcessExit { exit: exit(status), cpu_ns: 0 },
            );
        }
    }

    fn tell_some(&mut self, head: &Head, what: Option<What>) {
        if let Some(what) = what {
            self.tell(head, what);
        }
    }

    /// A request that waits is told twice by the kernel, and again each time a signal has interrupted it.
    fn lock(&mut self, head: &Head, flock: bool, lock: &abi::Lock) {
        /// include/linux/filelock.h.
        const FL_OFDLCK: u32 = 1024;
        const DEFERRED: i32 = 1;
        let kind = match (flock, lock.flags & FL_OFDLCK != 0) {
            (true, _) => LockKind::Flock,
            (false, true) => LockKind::Ofd,
            (false, false) => LockKind::Posix,
        };
        let mode = match lock.mode.cast_signed() {
            libc::F_RDLCK => LockMode::Shared,
            _ => LockMode::Exclusive,
        };
        let (fd, tid) = (Fd(lock.fd), Tid(head.tid.cast_signed()));
        let path = path(lock).or_else(|| target(head.pid, fd)).unwrap_or_default();
        let file = (lock.device, lock.inode);
        let before = self.waiting.remove(&tid).filter(|(other, id)| {
            // Taken already: the sampler has seen its end.
            *other == file && self.locks.list().iter().any(|lock| lock.id == *id)
        });
        if before.is_none() {
            self.tell(head, What::LockRequest { fd, path: path.clone(), kind, mode });
        }
        if lock.result == DEFERRED {
            let id = before.map_or_else(|| self.wait_for(head, fd, path), |(_, id)| id);
            self.waiting.insert(tid, (file, id));
            return;
        }
        if before.is_some_and(|(_, id)| self.locks.take(id).is_none()) {
            // The sampler has just told its end.
            return;
        }
        let result = error_name(lock.result.into()).unwrap_or_else(|| "ok".to_owned());
        let known_by = KnownBy::Return;
        self.tell(head, What::LockEnd { fd, path, result: Some(result), known_by });
    }

    /// The end of a wait that a signal ended is not told by the kernel: the sampler looks for it.
    fn wait_for(&mut self, head: &Head, fd: Fd, path: String) -> u64 {
        let (pid, tid, since) = (pid(head.pid), Tid(head.tid.cast_signed()), self.clock.at(head.t));
        self.next_lock += 1;
        let id = self.next_lock;
        if self.follow_children || Some(pid) == self.command {
            self.locks.add(PendingLock { pid, tid, fd, path, since, id });
        }
        id
    }
}

/// The program that a process has become: as it is now, or, if it has ended or is another one by now, as the kernel saw it.
pub fn described(head: &Head, exec: &abi::Exec) -> Exec {
    let pid = pid(head.pid);
    let words = used(&exec.words, exec.words_len);
    let now = program::describe(pid);
    if is_still(pid, words) {
        return now;
    }
    let whole = exec.words_all == exec.words_len;
    program::from_words(&c_string(&exec.program), &strings(words, whole))
}

fn pid(number: u32) -> Pid {
    Pid(number.cast_signed())
}

fn used(bytes: &[u8], length: u32) -> &[u8] {
    bytes.get(..length as usize).unwrap_or(bytes)
}

fn error_name(result: i64) -> Option<String> {
    let errno = i32::try_from(result.checked_neg()?).ok().filter(|errno| *errno > 0)?;
    Some(format!("{:?}", Errno::from_raw(errno)))
}

/// As wait(2) gives it: the lower seven bits are a signal.
fn exit(status: u32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code((status >> 8 & 0xff) as u8),
        signal => Exit::Signal(signal_name(signal.cast_signed())),
    }
}

/// The text before the first NUL byte.
fn c_string(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// NUL-terminated words; the last may be cut off.
fn strings(bytes: &[u8], whole: bool) -> Vec<String> {
    let mut words: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    // After the last NUL comes nothing; half a word may be half a secret.
    words.pop();
    if !whole {
        words.push("...".to_owned());
    }
    words
}

/// The names of the path from the root down.
fn path(lock: &abi::Lock) -> Option<String> {
    let names = lock.path.get(..lock.kept as usize).filter(|names| !names.is_empty())?;
    let names = names.rsplit(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.map(String::from_utf8_lossy);
    Some(names.fold(String::new(), |path, name| path + "/" + &name)).filter(|path| !path.is_empty())
}

/// What a descriptor names, while it does.
fn target(pid: u32, fd: Fd) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Whether a process still runs the program that has these words.
fn is_still(pid: Pid, words: &[u8]) -> bool {
    let now = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    !words.is_empty() && now.starts_with(words)
}
