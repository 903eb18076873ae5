//! TCP_INFO of a socket in another network namespace, where netlink does not reach: by a copy of the descriptor that is closed at once
//! (pidfd_getfd(2), go-process.md 3.9). Held, the copy would delay the FIN of a socket that the process closes.

use super::{descriptors, file, tcp_info};
use crate::capture::ptrace::sys;
use gmtrace_core::event::TcpInfo;
use gmtrace_core::units::{Inode, Pid};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

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
        let copy = sys::pidfd_getfd(&self.process, *number)?;
        let asked = sys::tcp_info(&copy);
        let is_it = file::link(format!("/proc/self/fd/{}", copy.as_raw_fd()));
        drop(copy);
        if is_it? != format!("socket:[{inode}]") {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        tcp_info::of_bytes(&asked?).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }
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
        drop(client);
        // The number stands for nothing now.
        assert!(peek.tcp_info(inode).is_err());
    }
}
