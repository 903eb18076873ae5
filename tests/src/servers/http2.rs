//! HTTP/2 (RFC 9113): one connection for many requests, each answered in a thread of its own.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Ping, PingPong, RecvStream, SendStream};
use rustls::ServerConfig;
use rustls::server::Accepted;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::http::{Request, Response};
use super::wire::{Socket, Way};

/// How HTTP/2 is spoken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Http2 {
    /// How often a PING is sent.
    pub(super) pings: Option<Duration>,
}

/// What happens in the streams of a connection.
pub(super) trait Streams: Send + Sync + 'static {
    /// Answers a request, in a thread of its own. An error ends the connection.
    fn respond(&self, request: &Request, stream: &mut Stream) -> io::Result<()>;

    /// Hears that a PING was answered.
    fn pong(&self, peer: SocketAddr);
}

impl Http2 {
    /// Shakes hands and serves a connection until it ends.
    ///
    /// # Errors
    /// When the connection breaks, or an answer ends it.
    pub(super) fn serve(
        self,
        socket: Socket,
        (accepted, config): (Accepted, Arc<ServerConfig>),
        (peer, sni): (SocketAddr, Option<String>),
        streams: Arc<impl Streams>,
    ) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let held = Arc::downgrade(&socket.0);
        let result: io::Result<()> = runtime.block_on(async {
            socket.0.set_nonblocking(true)?;
            let tcp = tokio::net::TcpStream::from_std(socket.0.try_clone()?)?;
            let tls = StartHandshake::from_parts(accepted, tcp).into_stream(config).await?;
            let mut connection = h2::server::handshake(tls).await.map_err(io::Error::other)?;
            if let (Some(every), Some(pings)) = (self.pings, connection.ping_pong()) {
                let streams = Arc::clone(&streams);
                tokio::spawn(ping(pings, every, move || streams.pong(peer)));
            }
            drive(&mut connection, move |request, head| {
                let (streams, runtime) = (Arc::clone(&streams), Handle::current());
                let (socket, sni) = (held.clone(), sni.clone());
                move || {
                    let mut stream = Stream { socket, head: Some(head), body: None };
                    let request = runtime.block_on(read(request, peer, sni));
                    let answered = request.and_then(|r| streams.respond(&r, &mut stream));
                    answered.map_err(|error| Broken { error, _stream: stream })
                }
            })
            .await
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => socket.close(),
            result => result,
        }
    }
}

/// Takes requests until the client leaves or an answer fails. Whatever ends a connection in HTTP/1.1 ends it here too.
async fn drive<T>(
    connection: &mut Connection<TlsStream<tokio::net::TcpStream>, Bytes>,
    answer: impl Fn(http::Request<RecvStream>, SendResponse<Bytes>) -> T,
) -> io::Result<()>
where
    T: FnOnce() -> Result<(), Broken> + Send + 'static,
{
    let (failed, mut failures) = unbounded_channel::<Broken>();
    loop {
        tokio::select! {
            biased;
            Some(broken) = failures.recv() => {
                flush(connection).await;
                return Err(broken.error);
            }
            asked = connection.accept() => {
                let Some(asked) = asked else { return Ok(()) };
                let (request, respond_to) = asked.map_err(io::Error::other)?;
                let (work, failed) = (answer(request, respond_to), failed.clone());
                thread::spawn(move || report(work(), &failed));
            }
        }
    }
}

/// Hands to the kernel what was sent. What is asked meanwhile is not answered any more.
async fn flush(connection: &mut Connection<TlsStream<tokio::net::TcpStream>, Bytes>) {
    let mut unanswered = Vec::new();
    poll_fn(|context| {
        while let Poll::Ready(Some(Ok(asked))) = connection.poll_accept(context) {
            unanswered.push(asked);
        }
        Poll::Ready(())
    })
    .await;
}

/// Nobody listens any more when the connection has ended.
fn report(result: Result<(), Broken>, failed: &UnboundedSender<Broken>) {
    if let Err(broken) = result {
        let _ = failed.send(broken);
    }
}

/// An answer that ends its connection. The stream is kept until then: who drops it cancels it by a RST_STREAM.
struct Broken {
    error: io::Error,
    _stream: Stream,
}

/// Sends PINGs until the connection ends.
async fn ping(mut pings: PingPong, every: Duration, pong: impl Fn()) {
    while pings.ping(Ping::opaque()).await.is_ok() {
        pong();
        tokio::time::sleep(every).await;
    }
}

async fn read(
    request: http::Request<RecvStream>,
    peer: SocketAddr,
    sni: Option<String>,
) -> io::Result<Request> {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(io::Error::other)?;
        stream.flow_control().release_capacity(piece.len()).map_err(io::Error::other)?;
        body.extend_from_slice(&piece);
    }
    let fields = head.headers.iter();
    let fields = fields
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    let host = head.uri.authority().map(|host| ("Host".to_owned(), host.to_string()));
    Ok(Request {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: host.into_iter().chain(fields).collect(),
        body,
        sni,
        peer,
    })
}

/// One request's part of a connection.
pub(super) struct Stream {
    /// Held weakly: an answer that is held back does not keep its connection open.
    socket: Weak<TcpStream>,
    /// Until the head has been sent.
    head: Option<SendResponse<Bytes>>,
    /// From then on.
    body: Option<SendStream<Bytes>>,
}

impl Way for Stream {
    fn send(&mut self, head: Option<&Response>, piece: &[u8], last: bool) -> io::Result<()> {
        if let (Some(response), Some(mut send)) = (head, self.head.take()) {
            let head = self::head(response).map_err(io::Error::other)?;
            self.body = Some(send.send_response(head, false).map_err(io::Error::other)?);
        }
        let body = self.body.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        body.send_data(Bytes::copy_from_slice(piece), last).map_err(io::Error::other)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.socket.upgrade().map_or(Ok(()), |socket| Socket(socket).reset_on_close())
    }
}

fn head(response: &Response) -> http::Result<http::Response<()>> {
    let head = http::Response::builder().status(response.status);
    let fields = response.fields().into_iter();
    fields.fold(head, |head, (name, value)| head.header(name.to_ascii_lowercase(), value)).body(())
}
