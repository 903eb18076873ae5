//! What the records say, as events.

use super::calls::{Calls, Open, Values};
use super::probes::GoPoints;
use super::requests;
use super::wire::Record;
use crate::capture::clock::Clock;
use crate::capture::messages;
use crate::capture::ptrace::{PendingLock, PendingLocks, SeenSignals, program, signal_name};
use crate::capture::said::{STDERR, Said, Whole};
use gmtrace_abi as abi;
use gmtrace_abi::golang::{Got, TEXT};
use gmtrace_abi::{Head, Kind};
use gmtrace_core::decode::sockaddr::Address;
use gmtrace_core::event::{
    Event, Exec, Exit, KnownBy, LockKind, LockMode, ResolverKind, Sample, SignalSender, TcpInfo,
    TcpSample, TlsReply, Transport, What,
};
use gmtrace_core::golang::probes::{Function, What as Meaning};
use gmtrace_core::units::{Fd, Inode, Pid, Tid};
use nix::errno::Errno;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where resolvers listen.
const DNS: u16 = 53;
/// Connections and datagram sockets that are remembered; then all are forgotten, and at the worst told of again.
const REMEMBERED: usize = 16 * 1024;
/// Signals that programs send themselves, often.
const EVERYDAY: [i32; 5] =
    [libc::SIGPROF, libc::SIGALRM, libc::SIGVTALRM, libc::SIGIO, libc::SIGWINCH];
/// Signals of one process that are told; a storm of them is not.
const SIGNALS: u32 = 512;

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
    /// What each process has begun to say on standard error.
    said: HashMap<Pid, Said>,
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
            said: HashMap::new(),
            attempts: HashMap::new(),
            waiting: HashMap::new(),
            locks,
            next_lock: 0,
            datagrams: HashSet::new(),
            streams: HashMap::new(),
            libc: HashSet::new(),
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
            Record::Short(t) => {
                self.transfer(
                    &head,
                    kind,
                    &t.ends,
                    (t.result, t.earlier),
                    used(&t.payload, t.kept),
                );
            }
            Record::Long(t) => {
                self.transfer(
                    &head,
                    kind,
                    &t.ends,
                    (t.result, t.earlier),
                    used(&t.payload, t.kept),
                );
            }
            Record::Lock(lock) => self.lock(&head, kind == Some(Kind::Flock), &lock),
            Record::Signal(signal) => self.signal(&head, &signal),
            Record::Stop(stop) => self.stopped(&head, stop.signal.cast_signed()),
            Record::Call(call) => {
                let which = ((call.point, call.depth), call.goid);
                self.call(&head, kind, which, (&call.values, &call.texts), go);
            }
            Record::CallWithTexts(call) => {
                let which = ((call.point, call.depth), call.goid);
                self.call(&head, kind, which, (&call.values, &call.texts), go);
            }
            Record::ShortOutput(o) => self.wrote(&head, o.length, used(&o.text, o.kept)),
            Record::LongOutput(o) => self.wrote(&head, o.length, used(&o.text, o.kept)),
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
        self.say_the_rest(head);
        let pid = pid(head.pid);
        self.libc.remove(&pid);
        self.calls.forget(pid);
        self.tell(head, What::Exec(exec));
    }

    fn exited(&mut self, head: &Head, status: u32) {
        self.say_the_rest(head);
        let pid = pid(head.pid);
        self.libc.remove(&pid);
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

    fn call(
        &mut self,
        head: &Head,
        kind: Option<Kind>,
        (which, goid): ((u32, u64), u64),
        (values, texts): (&[Got], &[[u8; TEXT]]),
        go: &GoPoints,
    ) {
        let Some(point) = go.get(which.0) else { return };
        let goroutine = (pid(head.pid), goid);
        if kind == Some(Kind::GoEntry) {
            let values = Values::read(&point.entry, values, texts);
            self.request(head, goroutine, point.function, &values);
            return self.calls.begins(goroutine, which, head.t, point, values);
        }
        let values = Values::read(&point.at_return, values, texts);
        let Some(call) = self.calls.ends(goroutine, which) else { return };
        match call.function {
            Function::Connect => self.go_connected(head, goroutine, &call, &values),
            Function::LockFile => self.go_locked(head, &call, &values),
            Function::RoundTrip => self.tell(head, requests::response(goid, &values)),
            _ => {}
        }
    }

    /// A request begins, or goes to its connection.
    fn request(
        &mut self,
        head: &Head,
        (pid, goid): (Pid, u64),
        function: Function,
        values: &Values,
    ) {
        match function {
            Function::RoundTrip => self.tell_some(head, requests::request(goid, values)),
            Function::Http1 | Function::Http2 => {
                let (fd, tls) = requests::connection(values);
                let socket = fd.and_then(|fd| self.socket(pid, fd));
                let http2 = function == Function::Http2;
                self.tell(head, What::GoRequestOn { goid, socket, http2, tls });
            }
            _ => {}
        }
    }

    /// The socket that a descriptor is of: the one that was connected by it last. Where that was not seen, the one that it is now.
    fn socket(&self, pid: Pid, fd: Fd) -> Option<Inode> {
        let connected = self.attempts.get(&(pid, fd)).map(|(_, socket)| *socket);
        connected.or_else(|| {
            let link = target(u32::try_from(pid.0).ok()?, fd)?;
            link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok().map(Inode)
        })
    }

    /// An attempt that failed before the kernel began it: there is no route.
    fn go_connected(&mut self, head: &Head, goroutine: (Pid, u64), call: &Open, values: &Values) {
        let Some(errno) = values.errno(&["connect"]) else { return };
        let descriptor = call.values.number(Meaning::Descriptor);
        let Some(fd) = descriptor.and_then(|fd| i32::try_from(fd).ok()).map(Fd) else { return };
        let begun = self.attempts.get(&(goroutine.0, fd)).is_some_and(|(t, _)| *t >= call.since);
        let Some(dial) = self.calls.inside(goroutine, Function::DialOne).filter(|_| !begun) else {
            return;
        };
        let Some(peer) = peer_of(&dial.values) else { return };
        let network = dial.values.text(Meaning::Network).unwrap_or_default();
        let transport = if network.starts_with("udp") { Transport::Udp } else { Transport::Tcp };
        let (socket, peer) = (None, Address::Inet(peer));
        self.tell(head, What::Connect { fd, socket, transport, peer });
        let result = format!("{:?}", Errno::from_raw(errno));
        self.tell(head, What::ConnectEnd { fd, socket, result });
    }

    /// A lock that the filesystem refused: the kernel's own tracepoint is behind that.
    fn go_locked(&mut self, head: &Head, call: &Open, values: &Values) {
        let Some(errno) = values.errno(&["Lock", "RLock"]) else { return };
        let descriptor = call.values.number(Meaning::Descriptor);
        let Some(fd) = descriptor.and_then(|fd| i32::try_from(fd).ok()).map(Fd) else { return };
        let path = values.text(Meaning::Path).map(Cow::into_owned).unwrap_or_default();
        let mode = match call.values.number(Meaning::LockMode) {
            Some(1) => LockMode::Shared,
            _ => LockMode::Exclusive,
        };
        let kind = LockKind::Flock;
        self.tell(head, What::LockRequest { fd, path: path.clone(), kind, mode });
        let result = Some(format!("{:?}", Errno::from_raw(errno)));
        self.tell(head, What::LockEnd { fd, path, result, known_by: KnownBy::Return });
    }

    fn wrote(&mut self, head: &Head, length: u64, written: &[u8]) {
        let now = self.clock.at(head.t);
        let cut = length > written.len() as u64;
        let ends_line = !cut && written.last() == Some(&b'\n');
        let said = self.said.entry(pid(head.pid)).or_default();
        let Whole { text, truncated } = said.add(written, cut, now);
        self.tell(head, What::Output { fd: STDERR, text, truncated, ends_line });
    }

    /// Unfinished lines whose writers have been silent for a moment; those of all, where the run is over.
    pub fn old_lines(&mut self, over: bool) -> Vec<Event> {
        let now = self.clock.now();
        let old: Vec<(Pid, String)> = self
            .said
            .iter_mut()
            .filter(|(_, said)| said.is_unfinished() && (over || said.is_old(now)))
            .filter_map(|(pid, said)| Some((*pid, said.rest()?)))
            .collect();
        let event = |(pid, text): (Pid, String)| {
            let what = What::Output { fd: STDERR, text, truncated: false, ends_line: false };
            Event { t: now, pid, tid: pid.into(), what }
        };
        old.into_iter().map(event).collect()
    }

    /// The unfinished line of a process that ends, or becomes another program.
    fn say_the_rest(&mut self, head: &Head) {
        if let Some(text) = self.said.remove(&pid(head.pid)).and_then(|mut said| said.rest()) {
            self.tell(head, What::Output { fd: STDERR, text, truncated: false, ends_line: false });
        }
    }

    fn look_up(&mut self, head: &Head, lookup: &abi::Lookup, begins: bool) {
        let name = c_string(&lookup.name);
        if begins {
            self.libc.insert(pid(head.pid));
            self.tell(head, What::GetaddrinfoStart { name: Some(name) });
        } else {
            let result = eai_name(lookup.result);
            self.tell(head, What::GetaddrinfoEnd { name, result });
        }
    }

    fn connection(&mut self, head: &Head, connection: &abi::Connection, ended: bool) {
        let ends = &connection.ends;
        let Some((local, peer)) = addresses(ends) else { return };
        let (socket, fd) = (Inode(ends.inode), Fd(ends.fd));
        if !ended {
            self.attempts.insert((pid(head.pid), fd), (head.t, socket));
            if self.streams.len() >= REMEMBERED {
                self.streams.clear();
            }
            self.streams.insert(socket, Stream::default());
            let (transport, peer) = (Transport::Tcp, Address::Inet(peer));
            return self.tell(head, What::Connect { fd, socket: Some(socket), transport, peer });
        }
        let result = match connection.error {
            0 => "ok".to_owned(),
            error => format!("{:?}", Errno::from_raw(error)),
        };
        if connection.error == 0 {
            // Its own address, by which the kernel's word of its end is told from that of another one to the same server.
            let state = "ESTABLISHED".to_owned();
            let sample = TcpSample { inode: socket, local, peer, state, tcp: TcpInfo::default() };
            let sample = Sample { connections: vec![sample], processes: Vec::new() };
            self.tell(head, What::Sample(sample));
        }
        self.tell(head, What::ConnectEnd { fd, socket: Some(socket), result });
    }

    fn transfer(
        &mut self,
        head: &Head,
        kind: Option<Kind>,
        ends: &abi::Ends,
        (result, earlier): (i64, u32),
        bytes: &[u8],
    ) {
        let Some((_, peer)) = addresses(ends) else { return };
        let socket = Inode(ends.inode);
        let datagram = i32::from(ends.protocol) == libc::IPPROTO_UDP;
        match (kind, peer.port() == DNS) {
            (Some(Kind::Sent), true) => {
                if datagram {
                    self.datagram_socket(head, ends, peer);
                }
                let by_libc = self.libc.contains(&pid(head.pid));
                let via = if by_libc { ResolverKind::Libc } else { ResolverKind::Go };
                let what = messages::dns_question(socket, Some(peer), bytes, !datagram, via);
                self.tell_some(head, what);
            }
            (Some(Kind::Received), true) => self.answered(head, socket, result, bytes, datagram),
            (Some(Kind::Sent), false) => self.sent(head, socket, bytes),
            (Some(Kind::Received), false) => {
                self.received(head, (socket, Fd(ends.fd)), result, earlier, bytes);
            }
            _ => {}
        }
    }

    fn tell_some(&mut self, head: &Head, what: Option<What>) {
        if let Some(what) = what {
            self.tell(head, what);
        }
    }

    /// The kernel has no tracepoint for the connect(2) of a datagram socket; its first question shows it.
    fn datagram_socket(&mut self, head: &Head, ends: &abi::Ends, peer: SocketAddr) {
        let (socket, fd) = (Inode(ends.inode), Fd(ends.fd));
        if self.datagrams.len() >= REMEMBERED {
            self.datagrams.clear();
        }
        if self.datagrams.insert(socket) {
            let (transport, peer) = (Transport::Udp, Address::Inet(peer));
            self.tell(head, What::Connect { fd, socket: Some(socket), transport, peer });
            let result = "ok".to_owned();
            self.tell(head, What::ConnectEnd { fd, socket: Some(socket), result });
        }
    }

    fn answered(&mut self, head: &Head, socket: Inode, result: i64, bytes: &[u8], datagram: bool) {
        if let Some(error) = error_name(result) {
            return self.tell(head, What::DnsError { socket: Some(socket), error });
        }
        // Over TCP the length comes first; libc reads it alone.
        let message = if datagram { bytes } else { bytes.get(2..).unwrap_or_default() };
        let what = messages::dns_answer(socket, message);
        let what = what.or_else(|| messages::dns_answer(socket, bytes));
        self.tell_some(head, what);
    }

    fn sent(&mut self, head: &Head, socket: Inode, bytes: &[u8]) {
        let stream = self.streams.entry(socket).or_default();
        if stream.tls {
            return;
        }
        let what = messages::first_write(socket, bytes);
        if let Some(What::TlsClientHello { .. }) = &what {
            *stream = Stream { awaits_tls: true, tls: true };
        }
        self.tell_some(head, what);
    }

    fn received(
        &mut self,
        head: &Head,
        (socket, fd): (Inode, Fd),
        result: i64,
        earlier: u32,
        bytes: &[u8],
    ) {
        let stream = self.streams.entry(socket).or_default();
        if stream.awaits_tls {
            stream.awaits_tls = false;
            let reply = match error_name(result) {
                Some(error) => Some(TlsReply::Closed(error)),
                None if result == 0 => Some(TlsReply::Closed("EOF".to_owned())),
                None => messages::tls_reply(bytes),
            };
            let what = reply.map(|reply| What::TlsReply { socket: Some(socket), reply });
            return self.tell_some(head, what);
        }
        if !stream.tls {
            self.tell_some(head, messages::http_response(socket, bytes));
        }
        // What the end of a connection was, or that something came at all.
        if result <= 0 || earlier == 0 {
            let (bytes, error) = (u64::try_from(result).ok(), error_name(result));
            self.tell(head, What::Read { fd, socket: Some(socket), bytes, error });
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
        let pending = before.and_then(|(_, id)| self.locks.take(id));
        tracing::trace!("granted after waiting: {}", pending.is_some());
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

    fn signal(&mut self, head: &Head, signal: &abi::Signal) {
        let (target, number) = (pid(signal.target), signal.signal.cast_signed());
        if number == libc::SIGCONT && self.stopped.remove(&target) {
            self.tell_of(head, (target, target.into()), What::Continued);
        }
        let told = self.signals.entry(target).or_default();
        if EVERYDAY.contains(&number) || number >= 32 || *told >= SIGNALS {
            return;
        }
        *told += 1;
        let sender = match signal.code {
            libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE => {
                SignalSender::Process { pid: pid(head.pid), uid: signal.uid }
            }
            _ => SignalSender::Kernel,
        };
        let sender = if Some(target) == self.command { self.real(number, sender) } else { sender };
        if !matches!(sender, SignalSender::Process { pid, .. } if pid == target) {
            let what = What::Signal { signal: signal_name(number), sender };
            self.tell_of(head, (target, target.into()), what);
        }
    }

    /// A process that reads the terminal in the background is stopped only where its group has a parent that could let it run again
    /// (get_signal in kernel/signal.c): that it is, is read.
    fn stopped(&mut self, head: &Head, signal: i32) {
        let pid = pid(head.pid);
        // The command's own stops are told by its parent.
        if Some(pid) != self.command && state(pid) == Some('T') && self.stopped.insert(pid) {
            self.tell(head, What::Stopped { signal: signal_name(signal) });
        }
    }

    /// Who sent the command a signal that gmtrace passed on.
    fn real(&self, signal: i32, sender: SignalSender) -> SignalSender {
        let own = Pid(std::process::id().cast_signed());
        match sender {
            SignalSender::Process { pid, .. } if pid == own => {
                let real = self.seen.real_sender(signal);
                real.map_or(SignalSender::Unknown, |from| SignalSender::Process {
                    pid: Pid(from.pid),
                    uid: from.uid,
                })
            }
            SignalSender::Process { pid, .. } => {
                self.seen.add(signal, pid.0);
                sender
            }
            _ => {
                self.seen.add(signal, 0);
                sender
            }
        }
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

/// What getaddrinfo(3) returned, as glibc and musl number it (netdb.h).
fn eai_name(result: i32) -> String {
    let name = match result {
        0 => "ok",
        libc::EAI_AGAIN => "EAI_AGAIN",
        libc::EAI_BADFLAGS => "EAI_BADFLAGS",
        libc::EAI_FAIL => "EAI_FAIL",
        libc::EAI_FAMILY => "EAI_FAMILY",
        libc::EAI_MEMORY => "EAI_MEMORY",
        libc::EAI_NODATA => "EAI_NODATA",
        libc::EAI_NONAME => "EAI_NONAME",
        libc::EAI_OVERFLOW => "EAI_OVERFLOW",
        libc::EAI_SERVICE => "EAI_SERVICE",
        libc::EAI_SOCKTYPE => "EAI_SOCKTYPE",
        libc::EAI_SYSTEM => "EAI_SYSTEM",
        other => return format!("EAI {other}"),
    };
    name.to_owned()
}

/// As wait(2) gives it: the lower seven bits are a signal.
fn exit(status: u32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code((status >> 8 & 0xff) as u8),
        signal => Exit::Signal(signal_name(signal.cast_signed())),
    }
}

fn addresses(ends: &abi::Ends) -> Option<(SocketAddr, SocketAddr)> {
    let ip = |bytes: [u8; 16]| match i32::from(ends.family) {
        libc::AF_INET => {
            let [a, b, c, d, ..] = bytes;
            Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        libc::AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()),
        _ => None,
    };
    let local = SocketAddr::new(ip(ends.local)?, ends.local_port);
    Some((local, SocketAddr::new(ip(ends.peer)?, ends.peer_port)))
}

/// The address of an attempt.
fn peer_of(values: &Values) -> Option<SocketAddr> {
    let bytes = values.bytes(Meaning::Ip)?;
    let v4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    let v6 = || Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical());
    let port = u16::try_from(values.number(Meaning::Port)?).ok()?;
    Some(SocketAddr::new(v4().or_else(v6)?, port))
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
    let names = lock.path.get(..lock.depth as usize).filter(|names| !names.is_empty())?;
    let names = names.iter().rev().map(|name| c_string(name)).filter(|name| !name.is_empty());
    Some(names.fold(String::new(), |path, name| path + "/" + &name))
}

/// What a descriptor names, while it does.
fn target(pid: u32, fd: Fd) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// The state of a process's first thread (proc(5), `/proc/PID/stat`: behind the name, which may have brackets in it).
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process still runs the program that has these words.
fn is_still(pid: Pid, words: &[u8]) -> bool {
    let now = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    !words.is_empty() && now.starts_with(words)
}
