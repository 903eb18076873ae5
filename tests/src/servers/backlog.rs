//! A listener whose queue is full: the kernel drops every further SYN.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage};

use super::log::PATIENCE;

/// Listens with a queue for one connection (listen(2): a backlog of 0 holds one on Linux), fills it, and never accepts.
pub struct FullBacklog {
    address: SocketAddr,
    _listener: OwnedFd,
    _filling: TcpStream,
}

impl FullBacklog {
    /// On this address; port 0 is a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(address: impl Into<IpAddr>, port: u16) -> Result<Self> {
        let address = SocketAddr::new(address.into(), port);
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let listener = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        socket::bind(listener.as_raw_fd(), &SockaddrStorage::from(address))
            .with_context(|| format!("cannot listen on {address}"))?;
        socket::listen(&listener, Backlog::new(0)?)?;
        let address = local_address(&listener)?;
        let filling = TcpStream::connect(address)?;
        Ok(Self { address, _listener: listener, _filling: filling })
    }

    /// Where nobody answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn local_address(listener: &OwnedFd) -> Result<SocketAddr> {
    let name: SockaddrStorage = socket::getsockname(listener.as_raw_fd())?;
    match (name.as_sockaddr_in(), name.as_sockaddr_in6()) {
        (Some(v4), _) => Ok(SocketAddr::from((v4.ip(), v4.port()))),
        (_, Some(v6)) => Ok(SocketAddr::from((v6.ip(), v6.port()))),
        _ => bail!("a listener without an address"),
    }
}

/// Waits until somebody in this network namespace has a SYN under way to `address`, as `/proc/net/tcp` shows it.
/// A SYN that is dropped leaves no other trace, so the table has to be asked again and again.
///
/// # Errors
/// When nobody has within a minute.
pub fn wait_for_syn(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if syn_sent(address)? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    bail!("waited {PATIENCE:?} for a SYN to {address}")
}

/// The state of a socket that has sent a SYN (include/net/tcp_states.h, TCP_SYN_SENT).
const SYN_SENT: &str = "02";

fn syn_sent(address: SocketAddr) -> Result<bool> {
    let wanted = table_form(address);
    let file = if address.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let table = std::fs::read_to_string(file)?;
    Ok(table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some(&wanted) && fields.next() == Some(SYN_SENT)
    }))
}

/// `address` as proc_net_tcp(5) writes it: 32-bit words in the byte order of the machine, in hexadecimal.
fn table_form(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words =
        bytes.as_chunks::<4>().0.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word)));
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}
