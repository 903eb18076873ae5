//! TCP_INFO of single sockets, in any network namespace: by a copy of the descriptor that is closed at once (pidfd_getfd(2)). Held, the copy
//! would delay the FIN of a socket that the process closes.

use super::{descriptors, file, tcp_info};
use crate::capture::ptrace::sys;
use gmtrace_core::event::{TcpInfo, TcpSample};
use gmtrace_core::units::{Fd, Inode, Pid};
use nix::sys::socket::{SockaddrStorage, getpeername, getsockname};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A process whose sockets are asked one by one.
pub(super) struct Peek {
    process: OwnedFd,
    numbers: BTreeMap<Inode, i32>,
}

impl Peek {
    /// # Errors
    /// Those of pidfd_open(2) and of reading `/proc/PID/fd`.
    pub(super) fn into(pid: Pid) -> io::Result<Peek> {
        let process = sys::pidfd_open(pid.0)?;
        let numbers = descriptors::socket_numbers(pid)?;
        Ok(Peek { process, numbers })
    }

    /// The kernel's view of its socket `inode`.
    ///
    /// # Errors
    /// EPERM without the permission to ptrace(2); ENOENT where the number stands for another socket by now.
    pub(super) fn tcp_info(&self, inode: Inode) -> io::Result<TcpInfo> {
        let number = self.numbers.get(&inode).ok_or(io::ErrorKind::NotFound)?;
        let bytes = copied(&self.process, *number, inode, |copy| Ok(sys::tcp_info(copy)?))?;
        tcp_info::of_bytes(&bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }
}

/// Asks a copy of the descriptor `number`, if that is the socket `inode`.
fn copied<T>(
    process: &OwnedFd,
    number: i32,
    inode: Inode,
    ask: impl FnOnce(&OwnedFd) -> io::Result<T>,
) -> io::Result<T> {
    let copy = sys::pidfd_getfd(process, number)?;
    if file::link(format!("/proc/self/fd/{}", copy.as_raw_fd()))? != format!("socket:[{inode}]") {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    ask(&copy)
}

/// The counters of those of a process's TCP sockets, by descriptor and inode, that are still what they were.
pub fn tcp_counters(pid: Pid, sockets: Vec<(Fd, Inode)>) -> Vec<TcpSample> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let Ok(process) = sys::pidfd_open(pid.0) else { return Vec::new() };
    let counters =
        |(fd, inode): (Fd, Inode)| copied(&process, fd.0, inode, |copy| counters(copy, inode)).ok();
    sockets.into_iter().filter_map(counters).collect()
}

fn counters(copy: &OwnedFd, inode: Inode) -> io::Result<TcpSample> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let bytes = sys::tcp_info(copy)?;
    let (local, peer) = addresses(copy.as_raw_fd())?;
    Ok(TcpSample {
        inode,
        local,
        peer,
        state: bytes.first().map_or("UNKNOWN", |state| tcp_info::state_name(*state)).to_owned(),
        tcp: tcp_info::of_bytes(&bytes).ok_or_else(invalid)?,
    })
}

/// Both ends of a connected socket.
fn addresses(socket: RawFd) -> io::Result<(SocketAddr, SocketAddr)> {
    let of = |address: SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from(*a));
        let any = v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::from(*a)));
        any.map(|a| tcp_info::end(a.ip(), a.port())).ok_or(io::ErrorKind::InvalidData)
    };
    Ok((of(getsockname(socket)?)?, of(getpeername(socket)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_socket_of_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"twelve bytes").unwrap();
        let link = file::link(format!("/proc/self/fd/{}", client.as_raw_fd())).unwrap();
        let inode = Inode(link.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap());
        let peek = Peek::into(Pid(std::process::id().cast_signed())).unwrap();
        let info = peek.tcp_info(inode).unwrap();
        assert_eq!((info.bytes_received, info.probes), (0, 0));
        assert!(peek.tcp_info(Inode(1)).is_err());
        let own = Pid(std::process::id().cast_signed());
        let fd = Fd(client.as_raw_fd());
        let counters = tcp_counters(own, vec![(fd, inode), (fd, Inode(1)), (Fd(-1), inode)]);
        let ends = (client.local_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(counters.iter().map(|c| (c.local, c.peer)).collect::<Vec<_>>(), [ends]);
        assert_eq!((counters[0].state.as_str(), counters[0].tcp.bytes_acked), ("ESTABLISHED", 12));
        drop(client);
        // The number stands for nothing now.
        assert!(peek.tcp_info(inode).is_err());
    }
}
