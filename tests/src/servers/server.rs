//! An HTTP/1.1 server on threads, plain or inside TLS, with its faults and its logs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket;
use rustls::StreamOwned;

use super::fault::{Fault, Faults};
use super::http::{Body, Reader, Request, Response};
use super::log::Log;
use super::send::Delivery;
use super::tls::{Hello, Tls, obstruct, read_hello};
use super::tunnel;
use super::wire::{OpenSockets, Socket, Wire};

/// What a server serves.
pub trait Site: Send + Sync + 'static {
    /// The right answer, before any fault.
    fn answer(&self, request: &Request) -> Response;
}

/// Where and how a server listens.
#[derive(Clone)]
pub struct Listen {
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Listen {
    /// On a free port of 127.0.0.1.
    pub fn loopback() -> Self {
        Self::at(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
    }

    /// On this address and port; port 0 is a free one.
    pub fn at(address: impl Into<IpAddr>, port: u16) -> Self {
        Self { address: SocketAddr::new(address.into(), port), tls: None }
    }

    /// Inside TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }
}

/// A request in the access log.
#[derive(Debug, Clone)]
pub struct Access {
    /// The method.
    pub method: String,
    /// Path and query, or `host:port` for `CONNECT`.
    pub target: String,
    /// The Host field.
    pub host: String,
    /// The server name of the TLS handshake.
    pub sni: Option<String>,
    /// Who asked.
    pub peer: SocketAddr,
    /// When the request was complete, since the server started.
    pub at: Duration,
    /// The status, once the header is sent.
    pub status: Option<u16>,
    /// Bytes of the body handed to the kernel so far.
    pub sent: usize,
}

/// A connection in the log of connections.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Who connected.
    pub peer: SocketAddr,
    /// The ClientHello, once it has been read.
    pub hello: Option<Hello>,
}

/// A running server. It stops, and cuts its connections, when it is dropped.
pub struct HttpServer<S> {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared<S>>,
}

/// What the threads of the connections share with the server.
struct Shared<S> {
    site: S,
    faults: Faults,
    log: Log<Access>,
    connections: Log<Connection>,
    open: OpenSockets,
    tls: Option<Tls>,
    started: Instant,
}

impl<S: Site> HttpServer<S> {
    /// Listens, and serves each connection in a thread of its own.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(listen: Listen, site: S) -> Result<Self> {
        let listener = TcpListener::bind(listen.address)
            .with_context(|| format!("cannot listen on {}", listen.address))?;
        let server = Self {
            address: listener.local_addr()?,
            listener: Arc::new(listener),
            shared: Arc::new(Shared {
                site,
                faults: Faults::default(),
                log: Log::default(),
                connections: Log::default(),
                open: OpenSockets::default(),
                tls: listen.tls,
                started: Instant::now(),
            }),
        };
        let (listener, shared) = (Arc::clone(&server.listener), Arc::clone(&server.shared));
        thread::spawn(move || accept(&listener, &shared));
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it serves.
    pub fn site(&self) -> &S {
        &self.shared.site
    }

    /// The switchboard.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Requests, each as soon as it has been read.
    pub fn log(&self) -> &Log<Access> {
        &self.shared.log
    }

    /// Connections, each as soon as it has been accepted.
    pub fn connections(&self) -> &Log<Connection> {
        &self.shared.connections
    }

    /// `http://ADDRESS:PORT` or `https://ADDRESS:PORT`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.address)
    }

    /// The URL by this name, without the port where it is the usual one.
    pub fn url_by_name(&self, name: &str) -> String {
        match (self.scheme(), self.address.port()) {
            ("http", 80) | ("https", 443) => format!("{}://{name}", self.scheme()),
            (scheme, port) => format!("{scheme}://{name}:{port}"),
        }
    }

    /// Waits until a request with `part` in its target has been read.
    ///
    /// # Errors
    /// As [`Log::wait_for`].
    pub fn wait_for(&self, part: &str) -> Result<Access> {
        self.log().wait_for(&format!("a request for {part}"), |access| access.target.contains(part))
    }

    /// Waits until `count` bytes of the body of the answer to `part` have been handed to the kernel.
    ///
    /// # Errors
    /// As [`Log::wait_for`].
    pub fn wait_for_body(&self, part: &str, count: usize) -> Result<Access> {
        let what = format!("{count} bytes of the answer to {part}");
        self.log().wait_for(&what, |access| access.target.contains(part) && access.sent >= count)
    }

    /// Waits until a ClientHello has been read.
    ///
    /// # Errors
    /// As [`Log::wait_for`].
    pub fn wait_for_hello(&self) -> Result<Hello> {
        let seen = self.connections().wait_for("a ClientHello", |c| c.hello.is_some())?;
        seen.hello.context("a connection without a ClientHello")
    }

    fn scheme(&self) -> &'static str {
        if self.shared.tls.is_some() { "https" } else { "http" }
    }
}

impl<S> Drop for HttpServer<S> {
    fn drop(&mut self) {
        self.shared.faults.gate.stop();
        // accept(2) returns EINVAL once its socket is shut down. Nothing else can fail here that would matter.
        let _ = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both);
        self.shared.open.shut();
    }
}

fn accept<S: Site>(listener: &TcpListener, shared: &Arc<Shared<S>>) {
    while let Ok((stream, peer)) = listener.accept() {
        let stream = Arc::new(stream);
        shared.open.add(&stream);
        if shared.faults.gate.is_stopped() {
            return;
        }
        let shared = Arc::clone(shared);
        // A connection that breaks has been cut by its client, by a fault, or by the end of the server.
        thread::spawn(move || shared.serve(Socket(stream), peer));
    }
}

impl<S: Site> Shared<S> {
    fn serve(&self, socket: Socket, peer: SocketAddr) -> io::Result<()> {
        socket.0.set_nodelay(true)?;
        let number = self.connections.push(Connection { peer, hello: None });
        let (mut wire, hello) = self.shake_hands(socket, number)?;
        let mut reader = Reader::new(peer, hello.and_then(|hello| hello.sni));
        while let Some(request) = reader.next(&mut wire)? {
            self.respond(&request, &mut reader, &mut wire)?;
            if request.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            {
                break;
            }
        }
        Ok(())
    }

    fn shake_hands(&self, mut socket: Socket, number: usize) -> io::Result<(Wire, Option<Hello>)> {
        let Some(tls) = &self.tls else {
            return Ok((Wire::Plain(socket), None));
        };
        let (accepted, hello) = read_hello(&mut socket)?;
        self.connections.update(number, |connection| connection.hello = Some(hello.clone()));
        obstruct(&self.faults, &hello, &mut socket)?;
        let tls = accepted
            .into_connection(Arc::clone(&tls.config))
            .map_err(|(error, _)| io::Error::other(error))?;
        Ok((Wire::Tls(Box::new(StreamOwned::new(tls, socket))), Some(hello)))
    }

    fn respond(&self, request: &Request, reader: &mut Reader, wire: &mut Wire) -> io::Result<()> {
        let number = self.log.push(self.access(request));
        let (fault, ticket) = self.faults.of(request);
        match &fault {
            Some(Fault::Delay(time)) => self.faults.gate.pause(ticket, *time)?,
            Some(Fault::Silent) => self.faults.gate.hold(ticket)?,
            _ => {}
        }
        let response = self.response(request, fault.as_ref());
        self.log.update(number, |access| access.status = Some(response.status));
        let mut delivery = Delivery::new(&self.faults.gate, ticket, fault.as_ref());
        let progress = |sent| self.log.update(number, |access| access.sent = sent);
        match &response.body {
            Body::Bytes(body) => delivery.send(wire, response.head(), body, progress),
            Body::Tunnel(far) => {
                self.open.add(far);
                io::Write::write_all(wire, &response.head())?;
                tunnel::carry(wire, far, &reader.take_ahead(), &mut delivery, progress)
            }
        }
    }

    /// The answer of the site, or what a fault puts into its place.
    fn response(&self, request: &Request, fault: Option<&Fault>) -> Response {
        match fault {
            Some(Fault::Status(status, text)) => Response::text(*status, text),
            Some(Fault::Redirect(base)) => {
                Response::text(302, "").header("Location", &format!("{base}{}", request.target))
            }
            Some(Fault::LoginPage) => Response::ok("text/html", LOGIN_PAGE.as_bytes()),
            Some(Fault::Instead(response)) => response.clone(),
            _ => self.site.answer(request),
        }
    }

    fn access(&self, request: &Request) -> Access {
        Access {
            method: request.method.clone(),
            target: request.target.clone(),
            host: request.header("Host").unwrap_or_default().to_owned(),
            sni: request.sni.clone(),
            peer: request.peer,
            at: self.started.elapsed(),
            status: None,
            sent: 0,
        }
    }
}

const LOGIN_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Guest network</title></head>\
    <body><form action=\"/login\" method=\"post\">Please log in to use this network. \
    <input name=\"user\"><input name=\"password\" type=\"password\"><button>Log in</button></form></body></html>\n";
