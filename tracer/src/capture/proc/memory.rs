//! The memory of a live process, read without stopping it. What is read is untrusted.

use gmtrace_core::golang::{Piece, ReadMemory};
use gmtrace_core::units::Pid;
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd;
use std::cell::OnceCell;
use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;

/// The most pieces of one call (IOV_MAX, readv(2)).
const MAX_PIECES: usize = 1024;

/// A process's memory: by process_vm_readv(2), which reads many pieces at once, and where that call is not allowed (some containers
/// filter it) or not there, from `/proc/PID/mem`. Both ask for the permission to ptrace(2).
pub(super) struct ProcessMemory {
    pid: Pid,
    file: OnceCell<Option<File>>,
}

impl ProcessMemory {
    pub(super) fn of(pid: Pid) -> ProcessMemory {
        ProcessMemory { pid, file: OnceCell::new() }
    }

    /// Fills as many pieces as one call does, and says how many; a partial transfer never splits a piece.
    fn read_some(&self, pieces: &mut [Piece<'_>]) -> Result<usize, Errno> {
        let remote: Vec<RemoteIoVec> = pieces
            .iter()
            .map(|piece| RemoteIoVec { base: piece.address as usize, len: piece.buffer.len() })
            .collect();
        let mut local: Vec<IoSliceMut<'_>> =
            pieces.iter_mut().map(|piece| IoSliceMut::new(piece.buffer)).collect();
        let mut left = process_vm_readv(unistd::Pid::from_raw(self.pid.0), &mut local, &remote)?;
        let mut whole = 0;
        for piece in pieces {
            let Some(rest) = left.checked_sub(piece.buffer.len()) else { break };
            (left, whole) = (rest, whole + 1);
            piece.filled = piece.buffer.len();
        }
        Ok(whole)
    }

    fn read_file(&self, piece: &mut Piece<'_>) {
        let file = self.file.get_or_init(|| File::open(format!("/proc/{}/mem", self.pid)).ok());
        if let Some(file) = file {
            piece.filled = file.read_at(piece.buffer, piece.address).unwrap_or(0);
        }
    }
}

impl ReadMemory for ProcessMemory {
    fn read(&self, pieces: &mut [Piece<'_>]) {
        let mut done = 0;
        while let Some(rest) = pieces.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let some = rest.len().min(MAX_PIECES);
            let Some((batch, _)) = rest.split_at_mut_checked(some) else { return };
            match self.read_some(batch) {
                Ok(whole) if whole == some => done += whole,
                // The piece behind the last whole one cannot be read.
                Ok(whole) => done += whole + 1,
                Err(Errno::EFAULT) => done += 1,
                Err(Errno::EPERM | Errno::ENOSYS) => {
                    batch.iter_mut().for_each(|piece| self.read_file(piece));
                    done += some;
                }
                // It is gone.
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(memory: &ProcessMemory, addresses: &[u64], length: usize) -> Vec<Vec<u8>> {
        let mut buffers = vec![vec![0; length]; addresses.len()];
        let pieces = buffers.iter_mut().zip(addresses);
        let mut pieces: Vec<Piece<'_>> = pieces
            .map(|(buffer, address)| Piece { address: *address, buffer, filled: 0 })
            .collect();
        memory.read(&mut pieces);
        let filled: Vec<usize> = pieces.iter().map(|piece| piece.filled).collect();
        buffers.into_iter().zip(filled).map(|(buffer, filled)| buffer[..filled].to_vec()).collect()
    }

    fn me() -> ProcessMemory {
        ProcessMemory::of(Pid(std::process::id().cast_signed()))
    }

    #[test]
    fn what_cannot_be_read_does_not_hide_what_can() {
        let text = b"hello";
        let there = text.as_ptr() as u64;
        let got = read(&me(), &[there, 8, there, u64::MAX - 2, 16, there], 5);
        assert_eq!(got, [&text[..], b"", text, b"", b"", text]);
    }

    #[test]
    fn more_pieces_than_one_call_takes() {
        let text = b"x";
        let addresses = vec![text.as_ptr() as u64; 2 * MAX_PIECES + 1];
        assert!(read(&me(), &addresses, 1).iter().all(|bytes| bytes == b"x"));
    }

    #[test]
    fn the_file_says_the_same() {
        let (memory, text) = (me(), b"hello");
        let mut buffer = [0; 5];
        let mut piece = Piece { address: text.as_ptr() as u64, buffer: &mut buffer, filled: 0 };
        memory.read_file(&mut piece);
        assert_eq!((piece.filled, &buffer), (5, text));
    }

    #[test]
    fn a_process_that_is_gone_yields_nothing() {
        let gone = ProcessMemory::of(Pid(i32::MAX));
        assert_eq!(read(&gone, &[4096], 4), [b""]);
    }
}
