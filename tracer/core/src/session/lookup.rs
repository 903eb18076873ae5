//! DNS look-ups: one name asked by one process, over however many questions and servers.

use super::Session;
use super::awaited::Awaited;
use crate::event::{Event, ResolverKind, What};
use crate::units::{Inode, Nanos, Pid, Tid};
use std::net::{IpAddr, SocketAddr};

/// How many questions of one look-up are kept.
const KEPT_QUESTIONS: usize = 64;

/// How many addresses names are known of.
const KEPT_ADDRESSES: usize = 4096;

/// A name being looked up by a process.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Who asks.
    pub pid: Pid,
    /// The thread that sent the first question.
    pub tid: Tid,
    /// The name.
    pub name: String,
    /// Who resolves.
    pub via: ResolverKind,
    /// Every question sent for it, oldest first.
    pub questions: Vec<Question>,
    /// When it began.
    pub since: Nanos,
    /// When it was over: every type asked was answered, or the process went on or ended.
    pub ended: Option<Nanos>,
    /// The goroutine that asks, and what it needs the address for, where these were read.
    pub goroutine: Option<u64>,
    /// The modules it is looked up for.
    pub modules: Vec<String>,
    /// How it is known that libc's getaddrinfo asks, if it is.
    pub getaddrinfo: Option<ByLibc>,
    /// Whether only a snapshot shows it: then it is not known when its questions were sent, nor which were answered before.
    pub found: bool,
}

/// How it is known that a question comes from libc's getaddrinfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByLibc {
    /// The call itself was seen.
    Seen,
    /// It asked nscd first.
    NscdStep,
    /// Its thread waits in poll(2), where Go's own resolver never does.
    Polls,
}

/// One question to one server.
#[derive(Debug, Clone)]
pub struct Question {
    /// When it was sent.
    pub t: Nanos,
    /// The server.
    pub server: Option<SocketAddr>,
    /// The socket.
    pub socket: Option<Inode>,
    /// The message's id.
    pub id: u16,
    /// `A`, `AAAA`; empty where it is not known.
    pub qtype: String,
    /// When and what was answered: the code and the addresses.
    pub answer: Option<(Nanos, String, Vec<IpAddr>)>,
    /// A read error on its socket: `ECONNREFUSED` is "port unreachable".
    pub error: Option<(Nanos, String)>,
}

impl Question {
    /// Whether nothing has come back.
    pub fn is_open(&self) -> bool {
        self.answer.is_none() && self.error.is_none()
    }
}

impl Lookup {
    /// Whether nothing is waited for any more.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// The newest question of each type.
    pub fn newest(&self) -> Vec<&Question> {
        let mut newest: Vec<&Question> = Vec::new();
        for question in self.questions.iter().rev() {
            if !newest.iter().any(|q| q.qtype == question.qtype) {
                newest.push(question);
            }
        }
        newest.reverse();
        newest
    }

    /// Questions without an answer, newest of each type.
    pub fn unanswered(&self) -> Vec<&Question> {
        self.newest().into_iter().filter(|q| q.is_open()).collect()
    }

    /// What is not answered yet; all that was asked where everything is.
    pub fn unanswered_or_all(&self) -> Vec<&Question> {
        let open = self.unanswered();
        if open.is_empty() { self.newest() } else { open }
    }

    /// The servers that were asked, in order.
    pub fn servers(&self) -> Vec<SocketAddr> {
        let mut servers = Vec::new();
        for server in self.questions.iter().filter_map(|q| q.server) {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }

    /// Servers that were asked and never answered anything in this look-up.
    pub fn silent_servers(&self) -> Vec<SocketAddr> {
        let answered =
            |s: &SocketAddr| self.questions.iter().any(|q| q.server == Some(*s) && !q.is_open());
        self.servers().into_iter().filter(|s| !answered(s)).collect()
    }
}

impl Session {
    pub(super) fn apply_lookup(&mut self, event: &Event) {
        match &event.what {
            What::DnsQuestion { socket, server, id, name, qtype, via } => {
                let question = Question {
                    t: event.t,
                    server: *server,
                    socket: *socket,
                    id: *id,
                    qtype: qtype.clone(),
                    answer: None,
                    error: None,
                };
                self.ask(event, name, *via, question);
            }
            What::DnsAnswer { socket, id, rcode, addresses, name, .. } => {
                self.answer(event, *socket, *id, rcode, addresses);
                if let Some(name) = name {
                    self.learn_names(name, addresses);
                }
            }
            What::DnsError { socket, error } => self.dns_error(event, *socket, error),
            _ => {}
        }
    }

    fn ask(&mut self, event: &Event, name: &str, via: ResolverKind, question: Question) {
        // A question that is repeated continues the look-up, also where it had seemed over by an answer of another type.
        let same = self.lookups.iter_mut().rev().find(|l| {
            l.pid == event.pid && l.name == name && (!l.is_over() || l.asked_within(event.t))
        });
        if let Some(lookup) = same {
            lookup.ended = None;
            lookup.questions.push(question);
            if lookup.questions.len() > KEPT_QUESTIONS {
                lookup.questions.remove(1); // The first says since when.
            }
            return;
        }
        let getaddrinfo = self.processes.get(&event.pid).and_then(|p| p.getaddrinfo);
        self.lookups.push(Lookup {
            pid: event.pid,
            tid: event.tid,
            name: name.to_owned(),
            via,
            since: question.t,
            questions: vec![question],
            ended: None,
            getaddrinfo,
            goroutine: None,
            modules: Vec::new(),
            found: false,
        });
    }

    fn answer(
        &mut self,
        event: &Event,
        socket: Option<Inode>,
        id: u16,
        rcode: &str,
        addresses: &[IpAddr],
    ) {
        for lookup in self.lookups.iter_mut().rev().filter(|l| l.pid == event.pid) {
            let asked =
                lookup.questions.iter_mut().rev().find(|q| {
                    q.id == id && q.is_open() && (q.socket == socket || q.socket.is_none())
                });
            if let Some(question) = asked {
                question.answer = Some((event.t, rcode.to_owned(), addresses.to_vec()));
                if lookup.unanswered().is_empty() {
                    lookup.ended = Some(event.t);
                }
                return;
            }
        }
    }

    fn dns_error(&mut self, event: &Event, socket: Option<Inode>, error: &str) {
        for lookup in self.lookups.iter_mut().rev().filter(|l| l.pid == event.pid) {
            let asked =
                lookup.questions.iter_mut().rev().find(|q| q.socket == socket && q.is_open());
            if let Some(question) = asked {
                question.error = Some((event.t, error.to_owned()));
                return;
            }
        }
    }

    fn learn_names(&mut self, name: &str, addresses: &[IpAddr]) {
        for address in addresses {
            if self.names.len() >= KEPT_ADDRESSES && !self.names.contains_key(address) {
                return;
            }
            let names = self.names.entry(*address).or_default();
            names.retain(|n| n != name);
            names.push(name.to_owned());
            if names.len() > 8 {
                names.remove(0);
            }
        }
    }
}

impl Lookup {
    /// The name that a goroutine asks for, and what for, of a look-up that was found.
    pub(super) fn take_name(&mut self, asked: &Awaited) {
        if let Some(host) = asked.host.as_ref().filter(|_| self.name.is_empty()) {
            let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
            name.clone_into(&mut self.name);
        }
        self.modules.clone_from(&asked.modules);
        self.goroutine = Some(asked.goroutine);
    }

    /// One look-up for each name, as `asked` tells for a question's socket: those that a snapshot shows are together at first. A
    /// question of which that is not known may be for any of them.
    pub(super) fn by_name(self, asked: impl Fn(Option<Inode>) -> Option<Awaited>) -> Vec<Lookup> {
        let name = |q: &Question| asked(q.socket).and_then(|asked| asked.host);
        let all = self.questions.iter().cloned();
        let (named, unnamed): (Vec<Question>, Vec<Question>) = all.partition(|q| name(q).is_some());
        let mut parts: Vec<(Option<String>, Vec<Question>)> = Vec::new();
        for mut question in named {
            let name = name(&question);
            let record = asked(question.socket).and_then(|asked| asked.record);
            question.qtype = record.unwrap_or_default();
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, questions)) => questions.push(question),
                None => parts.push((name, vec![question])),
            }
        }
        match parts.first_mut() {
            Some((_, questions)) => questions.extend(unnamed),
            None => return vec![self],
        }
        parts.into_iter().map(|(_, questions)| Lookup { questions, ..self.clone() }).collect()
    }

    /// Whether it was asked for within the last half second before `t`: A and AAAA go out together.
    fn asked_within(&self, t: Nanos) -> bool {
        self.questions.last().is_some_and(|q| t.since(q.t) < Nanos::from_millis(500))
    }
}
