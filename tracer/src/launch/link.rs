//! What the front and the tracer say to each other, over a socket that keeps messages apart and tells when the other side is
//! gone (unix(7), SOCK_SEQPACKET).

use super::Ended;
use crate::capture::ptrace::SignalInfo;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// From the tracer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToFront {
    /// The command runs. If nothing of it depends on the tracer, it lives on without: its process id; 0 otherwise.
    Started(i32),
    /// It was stopped by this signal.
    Stopped(i32),
    /// It runs again.
    Continued,
    /// It ended.
    Ended(Ended),
    /// It could not be run: execve(2)'s error.
    NotRun(i32),
    /// gmtrace could not start it: the error.
    Failed(i32),
    /// A status that replaces the command's own: 124 after a timeout, 3 for `--fail-on-stall`. The last one holds.
    Status(u8),
    /// The watch needs the front no more.
    Done,
}

/// From the front: a signal it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Got {
    /// The signal.
    pub signal: i32,
    /// Who sent it.
    pub from: SignalInfo,
}

/// Four numbers: small enough for every message, and of a fixed size.
type Wire = [i32; 4];

impl ToFront {
    fn encode(self) -> Wire {
        match self {
            ToFront::Started(lives_on) => [1, lives_on, 0, 0],
            ToFront::Stopped(signal) => [2, signal, 0, 0],
            ToFront::Continued => [3, 0, 0, 0],
            ToFront::Ended(Ended::Code(code)) => [4, i32::from(code), 0, 0],
            ToFront::Ended(Ended::Signal(signal)) => [5, signal, 0, 0],
            ToFront::NotRun(errno) => [6, errno, 0, 0],
            ToFront::Failed(errno) => [7, errno, 0, 0],
            ToFront::Done => [8, 0, 0, 0],
            ToFront::Status(status) => [9, i32::from(status), 0, 0],
        }
    }

    fn decode([kind, value, ..]: Wire) -> Option<ToFront> {
        Some(match kind {
            1 => ToFront::Started(value),
            2 => ToFront::Stopped(value),
            3 => ToFront::Continued,
            4 => ToFront::Ended(Ended::Code(u8::try_from(value).ok()?)),
            5 => ToFront::Ended(Ended::Signal(value)),
            6 => ToFront::NotRun(value),
            7 => ToFront::Failed(value),
            8 => ToFront::Done,
            9 => ToFront::Status(u8::try_from(value).ok()?),
            _ => return None,
        })
    }
}

impl Got {
    fn encode(self) -> Wire {
        [self.signal, self.from.code, self.from.pid, self.from.uid.cast_signed()]
    }

    fn decode([signal, code, pid, uid]: Wire) -> Got {
        Got { signal, from: SignalInfo { code, pid, uid: uid.cast_unsigned() } }
    }
}

/// One end of the socket.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
}

impl Link {
    /// Two ends.
    pub(super) fn pair() -> Result<(Link, Link), Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Link { socket: one }, Link { socket: other }))
    }

    /// The descriptor, for poll(2).
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Says something to the front. May block while the front is stopped and hundreds of messages wait; says nothing when it
    /// is gone.
    pub(super) fn send(&self, message: &ToFront) {
        _ = self.put(message.encode(), MsgFlags::MSG_NOSIGNAL);
    }

    /// The same without ever blocking: what does not fit now is sent from a thread of its own.
    pub(super) fn send_soon(self: &Arc<Link>, message: ToFront) {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        if self.put(message.encode(), flags) == Err(Errno::EAGAIN) {
            let link = Arc::clone(self);
            std::thread::spawn(move || link.send(&message));
        }
    }

    /// Tells the tracer of a signal. Dropped if it does not read: it is being killed.
    pub(super) fn tell(&self, got: Got) {
        _ = self.put(got.encode(), MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
    }

    /// Waits for a message from the tracer. `None` when it is gone.
    pub(super) fn next(&self) -> Option<ToFront> {
        self.take(MsgFlags::empty()).ok().and_then(ToFront::decode)
    }

    /// A message that is there already.
    pub(super) fn next_now(&self) -> Option<ToFront> {
        self.take(MsgFlags::MSG_DONTWAIT).ok().and_then(ToFront::decode)
    }

    /// Waits for a signal that the front got. `None` when the front is gone.
    pub(super) fn next_signal(&self) -> Option<Got> {
        self.take(MsgFlags::empty()).ok().map(Got::decode)
    }

    fn put(&self, wire: Wire, flags: MsgFlags) -> Result<(), Errno> {
        let mut bytes = [0u8; 16];
        for (place, number) in bytes.chunks_exact_mut(4).zip(wire) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        send(self.socket.as_raw_fd(), &bytes, flags).map(drop)
    }

    fn take(&self, flags: MsgFlags) -> Result<Wire, Errno> {
        let mut bytes = [0u8; 16];
        loop {
            match recv(self.socket.as_raw_fd(), &mut bytes, flags) {
                Ok(16) => break,
                Ok(_) => return Err(Errno::ENOTCONN),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        let mut wire = [0; 4];
        for (number, place) in wire.iter_mut().zip(bytes.chunks_exact(4)) {
            *number = i32::from_ne_bytes(place.try_into().unwrap_or_default());
        }
        Ok(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (front, tracer) = Link::pair().unwrap();
        let all = [
            ToFront::Started(0),
            ToFront::Started(4711),
            ToFront::Stopped(libc::SIGTSTP),
            ToFront::Continued,
            ToFront::Ended(Ended::Code(255)),
            ToFront::Ended(Ended::Signal(64)),
            ToFront::NotRun(libc::ENOENT),
            ToFront::Failed(libc::EAGAIN),
            ToFront::Done,
            ToFront::Status(0),
        ];
        for message in all {
            tracer.send(&message);
            assert_eq!(front.next(), Some(message));
        }
        let got = Got { signal: 15, from: SignalInfo { code: 0, pid: 7, uid: u32::MAX } };
        front.tell(got);
        assert_eq!(tracer.next_signal(), Some(got));
    }

    #[test]
    fn the_other_side_being_gone_is_told() {
        let (front, tracer) = Link::pair().unwrap();
        assert_eq!(front.next_now(), None);
        drop(tracer);
        assert_eq!(front.next(), None);
        front.tell(Got { signal: 1, from: SignalInfo { code: 0, pid: 0, uid: 0 } });
    }
}
