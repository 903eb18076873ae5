//! Bounded readings of a tracee's memory. What is read is untrusted.

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::IoSliceMut;

/// The page size; a reading that begins in readable memory yields at least what is left of that page.
const PAGE: usize = 4096;

/// Elements of an array of `struct iovec` that are looked at.
pub(super) const PIECES: u64 = 8;

/// Reads up to `limit` bytes at `address`; fewer where the readable memory ends, and none where it does not begin.
pub(super) fn read(tid: i32, address: u64, limit: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; limit];
    let mut length = read_into(tid, address, &mut bytes);
    if length == 0 && limit > 0 {
        // process_vm_readv(2): a partial transfer never splits one element, so an element that runs into unmapped memory
        // yields nothing. Ask for what is left of the first page.
        let rest = PAGE.saturating_sub(address as usize % PAGE).min(limit);
        if let Some(part) = bytes.get_mut(..rest) {
            length = read_into(tid, address, part);
        }
    }
    bytes.truncate(length);
    bytes
}

fn read_into(tid: i32, address: u64, bytes: &mut [u8]) -> usize {
    let remote = RemoteIoVec { base: address as usize, len: bytes.len() };
    process_vm_readv(Pid::from_raw(tid), &mut [IoSliceMut::new(bytes)], &[remote]).unwrap_or(0)
}

/// Reads the 64-bit word at `address`.
pub(super) fn word(tid: i32, address: u64) -> Option<u64> {
    Some(u64::from_ne_bytes(read(tid, address, 8).try_into().ok()?))
}

/// Reads the 32-bit number at `address`.
pub(super) fn number(tid: i32, address: u64) -> Option<i32> {
    Some(i32::from_ne_bytes(read(tid, address, 4).try_into().ok()?))
}

/// Reads the first bytes of the data that an array of `struct iovec` describes, at most `limit` of them. An empty element is
/// passed over; what lies in several is put together.
pub(super) fn gather(tid: i32, vector: u64, count: u64, limit: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..count.min(PIECES) {
        let (Some(base), Some(length)) = element(tid, vector, index) else { break };
        let wanted =
            limit.saturating_sub(bytes.len()).min(usize::try_from(length).unwrap_or(limit));
        bytes.extend(read(tid, base, wanted));
        if bytes.len() >= limit {
            break;
        }
    }
    bytes
}

/// The last byte of the data that an array of `struct iovec` describes.
pub(super) fn last_gathered(tid: i32, vector: u64, count: u64) -> Option<u8> {
    for index in (0..count).rev().take(PIECES as usize) {
        if let (Some(base), Some(length @ 1..)) = element(tid, vector, index) {
            return read(tid, base.wrapping_add(length).wrapping_sub(1), 1).pop();
        }
    }
    None
}

fn element(tid: i32, vector: u64, index: u64) -> (Option<u64>, Option<u64>) {
    let at = vector.wrapping_add(index.wrapping_mul(16));
    (word(tid, at), word(tid, at.wrapping_add(8)))
}

/// Reads the first bytes of the data of a `struct msghdr`: its `msg_iov` and `msg_iovlen` are the third and fourth words.
pub(super) fn message(tid: i32, header: u64, limit: usize) -> Vec<u8> {
    match (word(tid, header.wrapping_add(16)), word(tid, header.wrapping_add(24))) {
        (Some(vector), Some(count)) => gather(tid, vector, count, limit),
        _ => Vec::new(),
    }
}

/// The size of a `struct mmsghdr` (sendmmsg(2)): a msghdr of 56 bytes, a length, padding.
pub(super) const MMSGHDR: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> i32 {
        std::process::id() as i32
    }

    #[test]
    fn reads_what_is_there() {
        let text = b"hello";
        assert_eq!(read(me(), text.as_ptr() as u64, 5), text);
        assert_eq!(number(me(), (&raw const *b"\x01\0\0\0") as u64), Some(1));
    }

    #[test]
    fn unmapped_memory_yields_nothing() {
        assert_eq!(read(me(), 8, 100), b"");
        assert_eq!(word(me(), u64::MAX - 3), None);
    }

    #[test]
    fn an_array_of_pieces_is_put_together() {
        let pieces = [
            std::io::IoSlice::new(b"ab"),
            std::io::IoSlice::new(b""),
            std::io::IoSlice::new(b"cdef"),
        ];
        let at = pieces.as_ptr() as u64;
        assert_eq!(gather(me(), at, 3, 100), b"abcdef");
        assert_eq!(gather(me(), at, 3, 4), b"abcd");
        assert_eq!(last_gathered(me(), at, 3), Some(b'f'));
        assert_eq!(last_gathered(me(), at, 2), Some(b'b'), "the second is empty");
        assert_eq!(last_gathered(me(), at, 0), None);
    }
}
