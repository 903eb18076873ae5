//! What the goroutines of a process wait for at each of its descriptors: the kernel knows that bytes came and went, a goroutine
//! knows for which request, and whether anybody waits at all.

use crate::event::{Direction, GoCall, GoRuntime, GoValue, Goroutine};
use crate::units::{Fd, Nanos};
use std::collections::BTreeMap;

/// How far the makers of a goroutine are followed.
const MAX_PARENTS: usize = 8;

/// So many modules of one connection are named.
const MAX_MODULES: usize = 64;

/// The functions that wait for the response to a request, of HTTP/1 and of both homes of HTTP/2.
const ROUND_TRIPS: &[&str] = &[
    "net/http.(*persistConn).roundTrip",
    "net/http.(*http2ClientConn).roundTrip",
    "net/http.(*http2ClientConn).RoundTrip",
    "net/http/internal/http2.(*ClientConn).roundTrip",
    "net/http/internal/http2.(*ClientConn).RoundTrip",
];
/// The functions that read what comes on a connection.
const READ_LOOPS: &[&str] = &[
    "net/http.(*persistConn).readLoop",
    "net/http.(*http2ClientConn).readLoop",
    "net/http/internal/http2.(*ClientConn).readLoop",
];
/// The functions that read a body of HTTP/2: from a buffer, and not at the connection.
const BODIES_OF_HTTP2: &[&str] = &[
    "net/http.http2transportResponseBody.Read",
    "net/http.(*http2transportResponseBody).Read",
    "net/http/internal/http2.transportResponseBody.Read",
    "net/http/internal/http2.(*transportResponseBody).Read",
];

/// The functions that read the buffer, and know the connection.
const PIPES_OF_HTTP2: &[&str] =
    &["net/http.(*http2pipe).Read", "net/http/internal/http2.(*pipe).Read"];

/// What is waited for at a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Await {
    /// Nothing: a connection that is kept for the next request.
    Idle,
    /// An answer to a DNS question.
    LookUp,
    /// The connection itself.
    Connect,
    /// A web proxy's answer to CONNECT.
    Tunnel,
    /// The server's part of the TLS handshake.
    Handshake,
    /// The head of a response.
    Response,
    /// The rest of a body.
    Body,
}

/// Who waits at a descriptor, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// What.
    pub what: Await,
    /// The goroutine that needs it, or the one that is parked there.
    pub goroutine: u64,
    /// The method of the request.
    pub method: Option<String>,
    /// Its URL, redacted.
    pub url: Option<String>,
    /// The URL that was asked for at first, where a redirect led from there to another host.
    pub redirected_from: Option<String>,
    /// The host and port that were dialled, or the name alone: of a look-up, or as TLS knows it.
    pub host: Option<String>,
    /// The record of that name that is asked for: `A`, `AAAA`.
    pub record: Option<String>,
    /// What for: `path@version`, or the path where the version is not known.
    pub modules: Vec<String>,
}

/// What was awaited when a snapshot was taken. It holds until something comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// When.
    pub t: Nanos,
    /// The bytes that had been received by then.
    pub received: u64,
    /// What.
    pub awaited: Awaited,
}

/// What is waited for at each descriptor that a goroutine is parked for. Empty where goroutines could not be read.
pub fn of(go: &GoRuntime) -> BTreeMap<Fd, Awaited> {
    let mut found = BTreeMap::new();
    for goroutine in go.goroutines.iter().filter(|g| !g.system) {
        let Some(parked) = goroutine.waits_for else { continue };
        let awaited = match parked.direction {
            Direction::Write => connecting(go, goroutine),
            Direction::Read => reading(go, goroutine),
        };
        if let Some(awaited) = awaited {
            found.insert(parked.fd, awaited);
        }
    }
    found
}

/// The name that libc is asked for, where a goroutine waits in getaddrinfo(3).
pub fn getaddrinfo(go: &GoRuntime) -> Option<Awaited> {
    let asks = |g: &&Goroutine| {
        g.functions.iter().any(|f| f.starts_with("net._C") && f.ends_with("getaddrinfo"))
    };
    let asking = go.goroutines.iter().find(asks)?;
    let for_whom = go.goroutines.iter().find(|g| g.is_in("net.(*Resolver).lookupIPAddr"));
    let host = for_whom.and_then(|g| g.text("host")).map(str::to_owned);
    let dial = for_whom.and_then(|g| dial_of(go, g));
    Some(wanted(go, asking, Await::LookUp, dial, host))
}

/// The modules that a goroutine which waits for the process `pid` works on, and the words of that process.
pub fn child(go: &GoRuntime, pid: i32) -> Option<(&Goroutine, Vec<String>)> {
    let waits = |g: &&Goroutine| {
        g.calls.iter().flat_map(|call| &call.arguments).any(|argument| {
            argument.name == "pid"
                && argument.value == GoValue::Number(u64::from(pid.unsigned_abs()))
        })
    };
    let goroutine = go.goroutines.iter().find(waits)?;
    Some((goroutine, goroutine.worked_on().into_iter().collect()))
}

fn connecting(go: &GoRuntime, goroutine: &Goroutine) -> Option<Awaited> {
    goroutine
        .is_in("net.(*netFD).connect")
        .then(|| wanted(go, goroutine, Await::Connect, dial_of(go, goroutine), None))
}

fn reading(go: &GoRuntime, goroutine: &Goroutine) -> Option<Awaited> {
    let is_in = |functions: &[&str]| functions.iter().any(|f| goroutine.is_in(f));
    let dial = || dial_of(go, goroutine);
    if is_in(&["crypto/tls.(*Conn).clientHandshake"]) {
        return Some(wanted(go, goroutine, Await::Handshake, dial(), None));
    }
    if is_in(&["net.(*Resolver).exchange"]) {
        let name = goroutine.text("host").map(|name| name.trim_end_matches('.').to_owned());
        let record = goroutine.text("record").map(str::to_owned);
        return Some(Awaited { record, ..wanted(go, goroutine, Await::LookUp, dial(), name) });
    }
    if is_in(READ_LOOPS) {
        return read_loop(go, goroutine);
    }
    let of_dial = goroutine.created_by.as_deref() == Some("net/http.(*Transport).dialConn");
    if of_dial && is_in(&["net/http.ReadResponse"]) || is_in(&["net/http.(*socksDialer).connect"]) {
        return Some(wanted(go, goroutine, Await::Tunnel, dial(), None));
    }
    if is_in(&["net/http.(*bodyEOFSignal).Read", "net/http.(*body).Read"])
        && !is_in(&["net/http.(*conn).serve"])
    {
        return Some(body(go, goroutine));
    }
    None
}

/// A connection that is read: for a request that awaits its response, for a body, or for nobody.
fn read_loop(go: &GoRuntime, reader: &Goroutine) -> Option<Awaited> {
    let object = object(reader, READ_LOOPS);
    let requests: Vec<&Goroutine> =
        go.goroutines.iter().filter(|g| ROUND_TRIPS.iter().any(|f| g.is_in(f))).collect();
    let mut of_this: Vec<&Goroutine> = requests
        .iter()
        .filter(|g| object.is_some() && self::object(g, ROUND_TRIPS) == object)
        .copied()
        .collect();
    let is_http2 = !reader.is_in("net/http.(*persistConn).readLoop");
    let bodies = if is_http2 { bodies_of_http2(go, object) } else { Some(Vec::new()) };
    let what = if of_this.is_empty() { Await::Body } else { Await::Response };
    of_this.extend(bodies.iter().flatten());
    if let Some(first) = of_this.first() {
        return Some(named(several(first, what, &of_this), reader));
    }
    // Whose connection is not known may wait at this one.
    let strays = requests.iter().any(|g| self::object(g, ROUND_TRIPS).is_none());
    if object.is_none() && !requests.is_empty() || strays || bodies.is_none() {
        return None;
    }
    Some(named(own(reader, Await::Idle), reader))
}

/// Who reads a body of HTTP/2 that comes on this connection; none where that is not known of one of them.
fn bodies_of_http2(go: &GoRuntime, connection: Option<u64>) -> Option<Vec<&Goroutine>> {
    let all = go.goroutines.iter().filter(|g| BODIES_OF_HTTP2.iter().any(|f| g.is_in(f)));
    if connections_of_http2(go) == 1 {
        return Some(all.collect());
    }
    let mut known = Vec::new();
    let mut strays = false;
    for goroutine in all {
        match object(goroutine, PIPES_OF_HTTP2) {
            Some(of) if Some(of) == connection => known.push(goroutine),
            Some(_) if connection.is_some() => {}
            _ => strays = true,
        }
    }
    (!strays || !known.is_empty()).then_some(known)
}

/// With the name that the connection was dialled for, where TLS knows it.
fn named(mut awaited: Awaited, reader: &Goroutine) -> Awaited {
    let tls = reader.calls.iter().find(|call| call.function == "crypto/tls.(*Conn).Read");
    let host = || tls.and_then(|call| call.text("host")).map(str::to_owned);
    awaited.host = awaited.host.or_else(host);
    awaited
}

fn connections_of_http2(go: &GoRuntime) -> usize {
    let reads = |g: &&Goroutine| READ_LOOPS.iter().skip(1).any(|f| g.is_in(f));
    go.goroutines.iter().filter(reads).count()
}

/// The connection that one of `functions` was called with.
fn object(goroutine: &Goroutine, functions: &[&str]) -> Option<u64> {
    let calls = goroutine.calls.iter().filter(|c| functions.contains(&c.function.as_str()));
    let mut arguments = calls.flat_map(|c| &c.arguments).filter(|a| a.name == "connection");
    arguments.find_map(|argument| match argument.value {
        GoValue::Object(address) => Some(address),
        _ => None,
    })
}

/// The dial that a goroutine is a part of: its own, or that of those who made it; else the only one there is.
fn dial_of<'a>(go: &'a GoRuntime, goroutine: &'a Goroutine) -> Option<&'a Goroutine> {
    let dials = |g: &Goroutine| g.is_in("net/http.(*Transport).dialConn");
    let mut at = Some(goroutine);
    for _ in 0..MAX_PARENTS {
        match at {
            Some(g) if dials(g) => return Some(g),
            Some(g) => at = g.parent.and_then(|id| go.goroutine(id)),
            None => break,
        }
    }
    let mut all = go.goroutines.iter().filter(|g| dials(g));
    all.next().filter(|_| all.next().is_none())
}

/// What a goroutine waits for on behalf of those who want the connection that is dialled.
fn wanted(
    go: &GoRuntime,
    goroutine: &Goroutine,
    what: Await,
    dial: Option<&Goroutine>,
    name: Option<String>,
) -> Awaited {
    let address = dial.and_then(dialled);
    let for_it = |g: &&Goroutine| {
        g.is_in("net/http.(*Transport).getConn")
            && g.text("url").and_then(authority).as_deref() == address
    };
    let waiting: Vec<&Goroutine> = go.goroutines.iter().filter(for_it).collect();
    let mut awaited = match waiting.first() {
        Some(first) => several(first, what, &waiting),
        None => own(goroutine, what),
    };
    awaited.goroutine = goroutine.id;
    awaited.host = name.or_else(|| address.map(str::to_owned));
    awaited
}

/// `proxy.example.com:443`, as a dial was told. Further in, there are the addresses that the name was resolved to, and that of a
/// name server.
fn dialled(dial: &Goroutine) -> Option<&str> {
    let outermost =
        |function: &str| dial.calls.iter().rfind(|call| call.function == function)?.text("address");
    outermost("net/http.(*Transport).dialConn").or_else(|| outermost("net.(*Dialer).DialContext"))
}

/// The host and port that the connection of this goroutine was dialled for.
fn connected_to(goroutine: &Goroutine) -> Option<&str> {
    let of_http = |call: &&GoCall| call.function.starts_with("net/http.(*persistConn).");
    goroutine.calls.iter().filter(of_http).find_map(|call| call.text("address"))
}

/// The URL that a goroutine began with, where the host of its request is another one by now (net/http.Client follows redirects in
/// the goroutine that asked).
fn redirected_from(goroutine: &Goroutine) -> Option<&str> {
    let first = goroutine.calls.iter().rev().find_map(|call| call.text("url"))?;
    let host = |url: &str| url::Url::parse(url).ok()?.host_str().map(str::to_owned);
    let now = goroutine.text("url").and_then(host)?;
    (host(first)? != now).then_some(first)
}

/// `proxy.example.com:443` of a URL, as it is dialled.
fn authority(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// A body of HTTP/1. Where the stack of its reader does not tell the connection (Go 1.25 keeps it in a register), there is the
/// goroutine that waits until the body has been read, if there is only one.
fn body(go: &GoRuntime, reader: &Goroutine) -> Awaited {
    let mut awaited = own(reader, Await::Body);
    let waits =
        |g: &&Goroutine| g.waits_for.is_none() && g.is_in("net/http.(*persistConn).readLoop");
    let mut all = go.goroutines.iter().filter(waits);
    let only = all.next().filter(|_| all.next().is_none());
    awaited.host = awaited.host.or_else(|| only.and_then(connected_to).map(str::to_owned));
    awaited
}

fn own(goroutine: &Goroutine, what: Await) -> Awaited {
    several(goroutine, what, &[goroutine])
}

fn several(first: &Goroutine, what: Await, all: &[&Goroutine]) -> Awaited {
    let mut modules: Vec<String> = Vec::new();
    for module in all.iter().filter_map(|g| g.worked_on()).take(MAX_MODULES) {
        if !modules.contains(&module) {
            modules.push(module);
        }
    }
    Awaited {
        what,
        goroutine: first.id,
        method: first.text("method").map(str::to_owned),
        url: first.text("url").map(str::to_owned),
        redirected_from: redirected_from(first).map(str::to_owned),
        host: connected_to(first).map(str::to_owned),
        record: None,
        modules,
    }
}

#[cfg(test)]
mod tests;
