//! A connection, plain or inside TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ServerConnection, StreamOwned};

use super::http::Response;

/// A TCP connection that a server can shut from outside of the thread that serves it.
#[derive(Clone)]
pub(super) struct Socket(pub(super) Arc<TcpStream>);

impl Socket {
    /// The next close sends a RST (socket(7), SO_LINGER with a time of 0).
    pub(super) fn reset_on_close(&self) -> io::Result<()> {
        let now = linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&*self.0, sockopt::Linger, &now).map_err(io::Error::from)
    }

    /// Closes in good order: a socket that is closed with data unread sends a RST (RFC 2525 2.17), so what the client still says
    /// is read until it closes too.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.0.set_nonblocking(false)?;
        self.0.shutdown(Shutdown::Write)?;
        io::copy(&mut self, &mut io::sink()).map(drop)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The way of a response: a connection in HTTP/1.1, one stream of a connection in HTTP/2.
pub(super) trait Way {
    /// Sends a head, where there is one, and a piece of the body, in one write: apart, the second would wait for the delayed
    /// ACK of the first. `last` tells that the body ends here.
    fn send(&mut self, head: Option<&Response>, piece: &[u8], last: bool) -> io::Result<()>;

    /// The connection's next close sends a RST.
    fn reset_on_close(&self) -> io::Result<()>;
}

pub(super) enum Wire {
    Plain(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
}

impl Way for Wire {
    fn send(&mut self, head: Option<&Response>, piece: &[u8], _last: bool) -> io::Result<()> {
        let mut bytes = head.map(Response::head).unwrap_or_default();
        bytes.extend_from_slice(piece);
        self.write_all(&bytes)?;
        self.flush()
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.socket().reset_on_close()
    }
}

impl Wire {
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// The connections that are open, so that a server that stops can end them. They are held weakly: who serves a connection
/// closes it by letting go of it.
#[derive(Default)]
pub(super) struct OpenSockets(Mutex<Vec<Weak<TcpStream>>>);

impl OpenSockets {
    pub(super) fn add(&self, socket: &Arc<TcpStream>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|socket| socket.strong_count() > 0);
        open.push(Arc::downgrade(socket));
    }

    pub(super) fn shut(&self) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in open.iter().filter_map(Weak::upgrade) {
            // A peer that has already gone is as good as shut.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
