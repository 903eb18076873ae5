//! The records of the ring buffer, from the bytes that it gives.
#![allow(unsafe_code, reason = "records are copied out of bytes that the kernel wrote")]

use gmtrace_abi::golang::{Begun, Call, Point, Which};
use gmtrace_abi::{
    Connection, Counts, Exec, Exit, Fork, Head, Kind, Lock, Lookup, Output, PAGE, SHORT, Signal,
    Stop, Transfer,
};
use std::mem::{offset_of, size_of};

/// A value of a map, as aya wants it marked.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Wired<T>(pub T);

// SAFETY: three u64 (gmtrace-abi), of which every pattern of bits is one.
unsafe impl aya::Pod for Wired<Counts> {}
// SAFETY: integers and arrays of integers, without padding (gmtrace-abi).
unsafe impl aya::Pod for Wired<Point> {}
// SAFETY: likewise.
unsafe impl aya::Pod for Wired<Which> {}
// SAFETY: likewise.
unsafe impl aya::Pod for Wired<Begun> {}

/// A record.
#[derive(Debug)]
pub enum Record {
    /// A process began.
    Fork(Fork),
    /// A process became another program.
    Exec(Box<Exec>),
    /// A process ended.
    Exit(Exit),
    /// A TCP connection attempt, or its end.
    Connection(Connection),
    /// A message.
    Transfer(Box<Transfer>),
    /// A lock.
    Lock(Box<Lock>),
    /// A signal.
    Signal(Signal),
    /// A look-up of libc.
    Lookup(Box<Lookup>),
    /// A process is being stopped.
    Stop(Stop),
    /// A call of a Go function, its beginning or its end.
    Call(Box<Call>),
    /// A short write.
    ShortOutput(Box<Output<SHORT>>),
    /// A long one.
    LongOutput(Box<Output<PAGE>>),
}

/// Types that any bytes are a value of.
///
/// # Safety
/// `repr(C)`, of integers and arrays of integers alone.
unsafe trait Plain: Copy {}
// SAFETY: all of gmtrace-abi's records are.
unsafe impl Plain for Head {}
// SAFETY: as above.
unsafe impl Plain for Fork {}
// SAFETY: as above.
unsafe impl Plain for Exec {}
// SAFETY: as above.
unsafe impl Plain for Exit {}
// SAFETY: as above.
unsafe impl Plain for Connection {}
// SAFETY: as above.
unsafe impl Plain for Transfer {}
// SAFETY: as above.
unsafe impl Plain for Lock {}
// SAFETY: as above.
unsafe impl Plain for Signal {}
// SAFETY: as above.
unsafe impl Plain for Lookup {}
// SAFETY: as above.
unsafe impl Plain for Stop {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for Output<N> {}
// SAFETY: as above.
unsafe impl Plain for Call {}

/// Records have their own length; of [`Head`] alone more may follow.
fn plain<T: Plain>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: there are as many bytes as T has, and any of them are one.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// A record of which no more than its end was left out, with zeroes there.
fn whole<T: Plain>(bytes: &[u8], least: usize) -> Option<Vec<u8>> {
    let mut whole = bytes.get(..least).map(|_| bytes.to_vec())?;
    whole.resize(size_of::<T>(), 0);
    Some(whole)
}

/// What a record's bytes say; none where they are no record of this version's.
pub fn record(bytes: &[u8]) -> Option<(Head, Record)> {
    let head: Head = plain(bytes)?;
    let kind = *Kind::ALL.get(head.kind as usize)?;
    let record = match kind {
        Kind::Fork => Record::Fork(plain(bytes)?),
        Kind::Exec => Record::Exec(Box::new(plain(bytes)?)),
        Kind::Exit => Record::Exit(plain(bytes)?),
        Kind::Connect | Kind::ConnectEnd => Record::Connection(plain(bytes)?),
        Kind::Sent | Kind::Received => Record::Transfer(Box::new(plain(bytes)?)),
        Kind::Flock | Kind::RecordLock => {
            Record::Lock(Box::new(plain(&whole::<Lock>(bytes, offset_of!(Lock, path))?)?))
        }
        Kind::Signal => Record::Signal(plain(bytes)?),
        Kind::LookupStart | Kind::LookupEnd => Record::Lookup(Box::new(plain(bytes)?)),
        Kind::Stop => Record::Stop(plain(bytes)?),
        Kind::GoEntry | Kind::GoReturn => Record::Call(Box::new(plain(bytes)?)),
        Kind::Output if bytes.len() >= size_of::<Output<PAGE>>() => {
            Record::LongOutput(Box::new(plain(bytes)?))
        }
        Kind::Output => Record::ShortOutput(Box::new(plain(bytes)?)),
    };
    Some((head, record))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end by a panic")]
mod tests {
    use super::*;

    /// What the kernel writes of a lock: all before the path, and so many bytes of that.
    fn lock(path: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; offset_of!(Lock, path)];
        let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        put(offset_of!(Head, kind), Kind::Flock as u32);
        put(offset_of!(Lock, kept), u32::try_from(path.len()).unwrap());
        bytes.extend(path);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Box<Lock>> {
        match record(bytes)? {
            (_, Record::Lock(lock)) => Some(lock),
            _ => None,
        }
    }

    #[test]
    fn a_lock_is_as_long_as_its_path() {
        let names = b"v1.0.0.lock\0@v\0cache\0";
        let lock = read(&lock(names)).unwrap();
        assert_eq!(&lock.path[..lock.kept as usize], names);
        assert!(lock.path[names.len()..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn one_without_a_path_is_a_lock_and_a_piece_of_one_is_none() {
        let none = lock(b"");
        assert_eq!(read(&none).unwrap().kept, 0);
        assert!(read(&none[..none.len() - 1]).is_none());
    }

    #[test]
    fn what_is_longer_than_a_lock_is_read_as_far_as_it_goes() {
        let long = vec![b'a'; size_of::<Lock>()];
        assert!(read(&lock(&long)).is_some());
    }
}
