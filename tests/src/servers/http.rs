//! HTTP/1.1 as far as a test server needs it: a request read, a response written.

use std::fmt;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Longest request head that is read, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, `CONNECT`, ...
    pub method: String,
    /// What follows the method: path and query, or `host:port` for `CONNECT`.
    pub target: String,
    /// Header fields in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body, without the chunks it may have come in.
    pub body: Vec<u8>,
    /// The server name of the TLS handshake.
    pub sni: Option<String>,
    /// Who asked.
    pub peer: SocketAddr,
}

impl Request {
    /// The value of a header field, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The target up to the `?`.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The target from after the `?`, or nothing.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// What a response carries.
#[derive(Clone)]
pub enum Body {
    /// Bytes, with a Content-Length.
    Bytes(Arc<[u8]>),
    /// The far end of a tunnel: whatever comes from it, and whatever the client sends goes there.
    Tunnel(Arc<TcpStream>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Body::Tunnel(far) => write!(f, "tunnel to {:?}", far.peer_addr()),
        }
    }
}

/// A response to be sent.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields; Content-Length is added.
    pub headers: Vec<(String, String)>,
    /// What it carries.
    pub body: Body,
}

impl Response {
    /// 200 with this content.
    pub fn ok(content_type: &str, body: impl Into<Arc<[u8]>>) -> Self {
        Self::new(200, content_type, body)
    }

    /// A status with a plain text.
    pub fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{text}\n").into_bytes())
    }

    /// Any status and content.
    pub fn new(status: u16, content_type: &str, body: impl Into<Arc<[u8]>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: Body::Bytes(body.into()) }
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Status line and header fields as they go over the wire of HTTP/1.1.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in self.fields() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// All header fields. Requests for authentication carry the one that RFC 9110 11.6.1 demands, which git waits for before it
    /// asks its credential helpers.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let mut fields = self.headers.clone();
        let realm = || "Basic realm=\"test\"".to_owned();
        match self.status {
            401 => fields.push(("WWW-Authenticate".to_owned(), realm())),
            407 => fields.push(("Proxy-Authenticate".to_owned(), realm())),
            _ => {}
        }
        if let Body::Bytes(bytes) = &self.body {
            fields.push(("Content-Length".to_owned(), bytes.len().to_string()));
        }
        fields
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        410 => "Gone",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// Reads requests from a connection, keeping what came too early.
pub(super) struct Reader {
    ahead: Vec<u8>,
    sni: Option<String>,
    peer: SocketAddr,
}

impl Reader {
    pub(super) fn new(peer: SocketAddr, sni: Option<String>) -> Self {
        Self { ahead: Vec::new(), sni, peer }
    }

    /// What has been read beyond the last request: the first bytes of a tunnel.
    pub(super) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    /// The next request, or nothing when the client has closed.
    pub(super) fn next(&mut self, wire: &mut impl Read) -> io::Result<Option<Request>> {
        loop {
            if let Some((mut request, length)) = self.parse()? {
                self.ahead.drain(..length);
                request.body = self.body(wire, &request)?;
                return Ok(Some(request));
            }
            if self.ahead.len() > LONGEST_HEAD {
                return Err(bad("request head too long"));
            }
            if self.fill(wire)? == 0 {
                return Ok(None);
            }
        }
    }

    /// The request in `ahead` and the length of its head, when it is complete.
    fn parse(&self) -> io::Result<Option<(Request, usize)>> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(length) = parsed.parse(&self.ahead).map_err(bad)? else {
            return Ok(None);
        };
        let headers = parsed.headers.iter();
        let headers =
            headers.map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned()));
        let request = Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            headers: headers.collect(),
            body: Vec::new(),
            sni: self.sni.clone(),
            peer: self.peer,
        };
        Ok(Some((request, length)))
    }

    fn body(&mut self, wire: &mut impl Read, request: &Request) -> io::Result<Vec<u8>> {
        let chunked = request
            .header("Transfer-Encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if chunked {
            return self.chunks(wire);
        }
        match request.header("Content-Length") {
            Some(length) => self.exactly(wire, length.trim().parse().map_err(bad)?),
            None => Ok(Vec::new()),
        }
    }

    /// A chunked body (RFC 9112 7.1): git sends one when a request is longer than `http.postBuffer`.
    fn chunks(&mut self, wire: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line(wire)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(bad)?;
            body.extend(self.exactly(wire, size)?);
            self.line(wire)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self, wire: &mut impl Read) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.fill(wire)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn exactly(&mut self, wire: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            if self.fill(wire)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    fn fill(&mut self, wire: &mut impl Read) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let count = wire.read(&mut buffer)?;
        self.ahead.extend(buffer.iter().take(count));
        Ok(count)
    }
}

fn bad(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
