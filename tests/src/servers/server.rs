//! A server of HTTP/1.1, plain or inside TLS, and of HTTP/2 inside TLS, on threads, with its faults and its logs.

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
use super::http2::{Http2, Stream, Streams};
use super::log::Log;
use super::send::Delivery;
use super::tls::{Hello, Tls, obstruct, read_hello};
use super::tunnel;
use super::wire::{OpenSockets, Socket, Way, Wire};

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
    http2: Option<Http2>,
}

impl Listen {
    /// On a free port of 127.0.0.1.
    pub fn loopback() -> Self {
        Self::at(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
    }

    /// On this address and port; port 0 is a free one.
    pub fn at(address: impl Into<IpAddr>, port: u16) -> Self {
        Self { address: SocketAddr::new(address.into(), port), tls: None, http2: None }
    }

    /// Inside TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Speaks HTTP/2 to clients that would rather; to others, and outside of TLS, HTTP/1.1.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.http2.get_or_insert_default();
        self
    }

    /// Speaks HTTP/2, and sends a PING on each connection of it as often as this (RFC 9113 6.7).
    #[must_use]
    pub fn pings(mut self, every: Duration) -> Self {
        self.http2 = Some(Http2 { pings: Some(every) });
        self
    }
}

/// A request in the access log.
#[derive(Debug, Clone)]
pub struct Access {
    /// The method.
    pub method: String,
    /// Whether it came by HTTP/2.
    pub http2: bool,
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
    /// Bytes of the body handed to the kernel so far, or to the connection of HTTP/2.
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
    pongs: Log<SocketAddr>,
    open: OpenSockets,
    tls: Option<Tls>,
    http2: Option<Http2>,
    started: Instant,
}

impl<S: Site> HttpServer<S> {
    /// Listens, and serves each connection in a thread of its own.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(listen: Listen, site: S) -> Result<Self> {
        let tls = listen.tls.map(|tls| if listen.http2.is_some() { tls.with_http2() } else { tls });
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
                pongs: Log::default(),
                open: OpenSockets::default(),
                tls,
                http2: listen.http2,
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

    /// Answers to PINGs of HTTP/2, by who sent them.
    pub fn pongs(&self) -> &Log<SocketAddr> {
        &self.shared.pongs
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
    fn serve(self: &Arc<Self>, mut socket: Socket, peer: SocketAddr) -> io::Result<()> {
        socket.0.set_nodelay(true)?;
        let number = self.connections.push(Connection { peer, hello: None });
        let Some(tls) = &self.tls else {
            return self.serve_http1(Wire::Plain(socket), peer, None);
        };
        let (accepted, hello) = read_hello(&mut socket)?;
        self.connections.update(number, |connection| connection.hello = Some(hello.clone()));
        obstruct(&self.faults, &hello, &mut socket)?;
        let config = Arc::clone(&tls.config);
        match self.http2.filter(|_| tls.chooses_http2(&accepted)) {
            Some(http2) => {
                let shared = Arc::clone(self);
                http2.serve(socket, (accepted, config), (peer, hello.sni), shared)
            }
            None => {
                let tls = accepted.into_connection(config);
                let tls = tls.map_err(|(error, _)| io::Error::other(error))?;
                let wire = Wire::Tls(Box::new(StreamOwned::new(tls, socket)));
                self.serve_http1(wire, peer, hello.sni)
            }
        }
    }

    fn serve_http1(&self, mut wire: Wire, peer: SocketAddr, sni: Option<String>) -> io::Result<()> {
        let mut reader = Reader::new(peer, sni);
        while let Some(request) = reader.next(&mut wire)? {
            self.respond(&request, &mut reader, &mut wire)?;
            if request.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            {
                break;
            }
        }
        Ok(())
    }

    /// Answers in HTTP/1.1.
    fn respond(&self, request: &Request, reader: &mut Reader, wire: &mut Wire) -> io::Result<()> {
        let (number, response, mut delivery) = self.decide(request, false)?;
        let progress = |sent| self.log.update(number, |access| access.sent = sent);
        match &response.body {
            Body::Bytes(body) => delivery.send(wire, Some(&response), body, progress),
            Body::Tunnel(far) => {
                self.open.add(far);
                wire.send(Some(&response), &[], false)?;
                tunnel::carry(wire, far, &reader.take_ahead(), &mut delivery, progress)
            }
        }
    }

    /// Notes a request, and waits where a fault holds back all of its answer: the number in the log, the answer, and how it
    /// leaves.
    fn decide(
        &self,
        request: &Request,
        http2: bool,
    ) -> io::Result<(usize, Response, Delivery<'_>)> {
        let number = self.log.push(Access { http2, ..self.access(request) });
        let (fault, ticket) = self.faults.of(request);
        match &fault {
            Some(Fault::Delay(time)) => self.faults.gate.pause(ticket, *time)?,
            Some(Fault::Silent) => self.faults.gate.hold(ticket)?,
            _ => {}
        }
        let response = self.response(request, fault.as_ref());
        self.log.update(number, |access| access.status = Some(response.status));
        Ok((number, response, Delivery::new(&self.faults.gate, ticket, fault.as_ref())))
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
            http2: false,
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

impl<S: Site> Streams for Shared<S> {
    fn respond(&self, request: &Request, stream: &mut Stream) -> io::Result<()> {
        let (number, response, mut delivery) = self.decide(request, true)?;
        let progress = |sent| self.log.update(number, |access| access.sent = sent);
        match &response.body {
            Body::Bytes(body) => delivery.send(stream, Some(&response), body, progress),
            Body::Tunnel(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn pong(&self, peer: SocketAddr) {
        self.pongs.push(peer);
    }
}

const LOGIN_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Guest network</title></head>\
    <body><form action=\"/login\" method=\"post\">Please log in to use this network. \
    <input name=\"user\"><input name=\"password\" type=\"password\"><button>Log in</button></form></body></html>\n";
