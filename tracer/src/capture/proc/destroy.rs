//! The last counters of each TCP connection, as the kernel multicasts them when it destroys the socket.

use super::diag::messages;
use super::tcp_info::{self, ends, state_name};
use gmtrace_core::event::{Event, TcpSample, What};
use gmtrace_core::units::{Inode, Nanos, Pid, Tid};
use netlink_packet_core::Parseable;
use netlink_packet_sock_diag::inet::InetResponse;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, PipeWriter};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

/// SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY of linux/sock_diag.h. Joining needs no privilege.
const GROUPS: [u32; 2] = [1, 3];

/// Room for some 5,000 connections that end at once.
const KERNEL_BUFFER: u32 = 4 << 20;

/// A message has some 400 bytes.
const BUFFER: usize = 16 * 1024;

/// The running watch. Dropped, it ends at once; [`Watch::finish`] hears first what the kernel has already said.
pub struct Watch {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Ends the watch after the messages that have arrived so far are in the sink. A connection's message arrives some 0.2 ms after its end.
    pub fn finish(self) {}
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was told by the runtime already.
            let _ended = thread.join();
        }
    }
}

/// Sends a [`What::TcpClosed`] for each TCP connection of this network namespace that ends, if `wanted` knows its two ends
/// (local, peer). Messages that the kernel could not deliver are sent as [`What::Lost`].
///
/// # Errors
/// Those of socket(2) and of joining the multicast groups: a sandbox may refuse both.
pub fn watch_destroyed(
    sink: Sender<Event>,
    clock: impl Fn() -> Nanos + Send + 'static,
    wanted: impl Fn(SocketAddr, SocketAddr) -> bool + Send + 'static,
) -> io::Result<Watch> {
    let socket = join()?;
    let (stopped, stop) = io::pipe()?;
    let thread = thread::Builder::new().name("destroyed".to_owned()).spawn(move || {
        let mut last = false;
        while !last {
            last = wait(&socket, &stopped).unwrap_or(true);
            if tell(&socket, &sink, &clock, &wanted).is_err() {
                return;
            }
        }
    })?;
    Ok(Watch { stop: Some(stop), thread: Some(thread) })
}

fn join() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    // Unprivileged, it gets no more than net.core.rmem_max.
    socket.set_rx_buf_sz(KERNEL_BUFFER)?;
    for group in GROUPS {
        socket.add_membership(group)?;
    }
    Ok(socket)
}

/// Waits for a message; whether the watch is to end.
fn wait(socket: &Socket, stopped: &impl AsFd) -> nix::Result<bool> {
    let mut fds = [
        PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let [_message, stopped] = fds;
    Ok(stopped.any().unwrap_or(true))
}

/// Nobody listens any more.
struct Closed;

/// Tells everything that has arrived.
fn tell(
    socket: &Socket,
    sink: &Sender<Event>,
    clock: &impl Fn() -> Nanos,
    wanted: &impl Fn(SocketAddr, SocketAddr) -> bool,
) -> Result<(), Closed> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let send = |what| {
        sink.send(Event { t: clock(), pid: Pid(0), tid: Tid(0), what }).map_err(|_unsent| Closed)
    };
    loop {
        buffer.clear();
        match socket.recv(&mut buffer, 0) {
            Ok(_length) => {
                for sample in messages(&buffer).filter_map(|message| closed(message.payload())) {
                    if wanted(sample.local, sample.peer) {
                        send(What::TcpClosed(sample))?;
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => send(lost())?,
            Err(_nothing_left) => return Ok(()),
        }
    }
}

fn closed(payload: &[u8]) -> Option<TcpSample> {
    let response = InetResponse::parse(payload).ok()?;
    let (local, peer) = ends(&response.header.socket_id);
    Some(TcpSample {
        inode: Inode(response.header.inode.into()),
        local,
        peer,
        state: state_name(response.header.state).to_owned(),
        tcp: tcp_info::of_response(&response)?,
    })
}

/// The kernel says only that messages were dropped, not how many (netlink(7)).
fn lost() -> What {
    What::Lost {
        what: "last counters of closed TCP connections".to_owned(),
        count: 1,
        why: "the kernel's netlink buffer was full".to_owned(),
    }
}
