//! A DNS server, over UDP and TCP.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record};

pub use hickory_proto::rr::RecordType;

use super::gate::Gate;
use super::log::Log;

/// How often the threads of a resolver look whether it has been dropped: nothing else would wake them.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Seconds an answer may be kept.
const TTL: u32 = 60;

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// No answer, ever.
    Silent,
    /// The right answer, after this long.
    Delay(Duration),
    /// The server failed to find out.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// The server will not say.
    Refused,
    /// Over UDP, that the answer does not fit; over TCP, none.
    TooLong,
}

/// What a question came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Transport {
    Udp,
    Tcp,
}

/// A question in the log.
#[derive(Debug, Clone)]
pub struct Question {
    /// The name, in lower case and without the dot at its end.
    pub name: String,
    /// A, AAAA, ...
    pub kind: RecordType,
    /// What it came by.
    pub transport: Transport,
    /// Who asked.
    pub from: SocketAddr,
}

/// A switch: the name (or every name), the type (or every type), and what becomes of such questions.
type Switch = (Option<String>, Option<RecordType>, Reply);

/// A running resolver. Names it does not know do not exist. It stops when it is dropped.
pub struct Resolver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    zone: Mutex<HashMap<String, Vec<IpAddr>>>,
    switches: Mutex<Vec<Switch>>,
    log: Log<Question>,
    gate: Gate,
}

impl Resolver {
    /// Listens on this address, by UDP and TCP; port 0 is a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on. Port 53 needs a namespace of its own, or root.
    pub fn start(address: impl Into<IpAddr>, port: u16) -> Result<Self> {
        let address = SocketAddr::new(address.into(), port);
        let udp =
            UdpSocket::bind(address).with_context(|| format!("cannot listen on UDP {address}"))?;
        let address = udp.local_addr()?;
        let tcp = TcpListener::bind(address)
            .with_context(|| format!("cannot listen on TCP {address}"))?;
        udp.set_read_timeout(Some(LOOK_UP))?;
        let resolver = Self { address, shared: Arc::default() };
        let (over_udp, over_tcp) = (Arc::clone(&resolver.shared), Arc::clone(&resolver.shared));
        thread::spawn(move || serve_udp(&Arc::new(udp), &over_udp));
        thread::spawn(move || serve_tcp(&tcp, &over_tcp));
        Ok(resolver)
    }

    /// On a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub fn on_loopback() -> Result<Self> {
        Self::start(Ipv4Addr::LOCALHOST, 0)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives `name` these addresses.
    pub fn knows(&self, name: &str, addresses: &[IpAddr]) {
        lock(&self.shared.zone).insert(plain(name), addresses.to_vec());
    }

    /// `reply` to all questions for `name`.
    pub fn on(&self, name: &str, reply: Reply) {
        lock(&self.shared.switches).push((Some(plain(name)), None, reply));
    }

    /// `reply` to questions of this type for `name`.
    pub fn on_type(&self, name: &str, kind: RecordType, reply: Reply) {
        lock(&self.shared.switches).push((Some(plain(name)), Some(kind), reply));
    }

    /// `reply` to every question.
    pub fn always(&self, reply: Reply) {
        lock(&self.shared.switches).push((None, None, reply));
    }

    /// Switches everything off. Questions that got no answer get none later.
    pub fn lift(&self) {
        lock(&self.shared.switches).clear();
        self.shared.gate.lift();
    }

    /// The questions, each as soon as it has come.
    pub fn log(&self) -> &Log<Question> {
        &self.shared.log
    }

    /// Waits until it has been asked for this type of `name`.
    ///
    /// # Errors
    /// As [`Log::wait_for`].
    pub fn wait_for(&self, name: &str, kind: RecordType) -> Result<Question> {
        let wanted = plain(name);
        self.log().wait_for(&format!("the question {kind} {name}"), |q| {
            q.name == wanted && q.kind == kind
        })
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.shared.gate.stop();
        // Wakes the thread that accepts; if there is no way to connect, it sleeps on until the process ends.
        let _ = TcpStream::connect_timeout(&self.address, LOOK_UP);
    }
}

fn serve_udp(socket: &Arc<UdpSocket>, shared: &Arc<Shared>) {
    let mut buffer = [0; 4096];
    while !shared.gate.is_stopped() {
        // A timeout, or the ICMP error of an asker that has gone.
        let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
        let Some(query) = buffer.get(..count).and_then(|bytes| Message::from_vec(bytes).ok())
        else {
            continue;
        };
        let (socket, shared) = (Arc::clone(socket), Arc::clone(shared));
        thread::spawn(move || {
            shared.reply(&query, Transport::Udp, from).map(|reply| socket.send_to(&reply, from))
        });
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, from)) = listener.accept() {
        if shared.gate.is_stopped() {
            return;
        }
        let shared = Arc::clone(shared);
        // A connection that breaks was cut by its client.
        thread::spawn(move || serve_connection(stream, from, &shared));
    }
}

/// Questions and answers, each behind its length (RFC 1035 4.2.2). A connection whose question got no answer stays open.
fn serve_connection(mut stream: TcpStream, from: SocketAddr, shared: &Shared) -> io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        let query = Message::from_vec(&question).map_err(io::Error::other)?;
        if let Some(reply) = shared.reply(&query, Transport::Tcp, from) {
            let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes(), reply.as_slice()].concat())?;
        }
    }
}

impl Shared {
    /// The bytes of the answer, or nothing when there is to be none.
    fn reply(&self, query: &Message, transport: Transport, from: SocketAddr) -> Option<Vec<u8>> {
        let asked = query.queries.first()?;
        let (name, kind) = (plain(&asked.name().to_ascii()), asked.query_type());
        let ticket = self.gate.ticket();
        let switched = self.switched(&name, kind);
        self.log.push(Question { name: name.clone(), kind, transport, from });
        let code = match switched {
            Some(Reply::Silent) => return None,
            Some(Reply::ServFail) => Some(ResponseCode::ServFail),
            Some(Reply::NxDomain) => Some(ResponseCode::NXDomain),
            Some(Reply::Refused) => Some(ResponseCode::Refused),
            Some(Reply::TooLong) if transport == Transport::Tcp => return None,
            Some(Reply::TooLong) => Some(ResponseCode::NoError),
            Some(Reply::Delay(time)) => {
                self.gate.pause(ticket, time).ok()?;
                None
            }
            None => None,
        };
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.metadata.truncation = switched == Some(Reply::TooLong);
        answer.add_query(asked.clone());
        match (code, lock(&self.zone).get(&name)) {
            (Some(code), _) => answer.metadata.response_code = code,
            (None, None) => answer.metadata.response_code = ResponseCode::NXDomain,
            (None, Some(addresses)) => {
                answer.add_answers(records(asked.name(), kind, addresses));
            }
        }
        answer.to_vec().ok()
    }

    fn switched(&self, name: &str, kind: RecordType) -> Option<Reply> {
        let fits = |(of, for_type, _): &&Switch| {
            of.as_deref().is_none_or(|of| of == name) && for_type.is_none_or(|t| t == kind)
        };
        lock(&self.switches).iter().find(fits).map(|(_, _, reply)| *reply)
    }
}

fn records(name: &Name, kind: RecordType, addresses: &[IpAddr]) -> Vec<Record> {
    let data = addresses.iter().map(|address| match address {
        IpAddr::V4(address) => RData::A((*address).into()),
        IpAddr::V6(address) => RData::AAAA((*address).into()),
    });
    let data = data.filter(|data| data.record_type() == kind);
    data.map(|data| Record::from_rdata(name.clone(), TTL, data)).collect()
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
