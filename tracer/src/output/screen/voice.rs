//! What is said on standard error, by a thread of its own: where nobody reads (a full pipe, Ctrl-S), whoever speaks does not
//! wait, and goes on to end the command that is over its time.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Messages that may wait for a reader; one more is lost.
const WAITING: usize = 64;
/// PIPE_BUF (pipe(7)): a pipe that is ready takes as much without blocking.
const CHUNK: usize = 4096;

/// The way to the thread that writes.
pub struct Voice {
    messages: SyncSender<String>,
    over: Receiver<()>,
    waiting: Arc<AtomicUsize>,
}

impl Voice {
    /// Starts the thread; none where there can be none (RLIMIT_NPROC).
    pub fn start(file: File) -> Option<Voice> {
        let (messages, receiver) = sync_channel::<String>(WAITING);
        let (tell_over, over) = sync_channel(1);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let work = move || {
            for message in receiver {
                super::clear_live_line();
                write_all(&file, message.as_bytes(), PollTimeout::NONE);
                left.fetch_sub(1, Ordering::AcqRel);
            }
            drop(tell_over);
        };
        std::thread::Builder::new().name("voice".to_owned()).spawn(work).ok()?;
        Some(Voice { messages, over, waiting })
    }

    /// Says something, soon.
    pub fn say(&self, message: String) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if self.messages.try_send(message).is_err() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether everything has been written.
    pub fn is_silent(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Waits until all is written, but not for longer than `bound`. Whether it is.
    pub fn finish(self, bound: Duration) -> bool {
        drop(self.messages);
        self.over.recv_timeout(bound) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Writes to what may be non-blocking: the flag belongs to the open file, and others set it (open(2), O_NONBLOCK). Ends where
/// nobody reads any more, or where the next bytes would have to wait for longer than `patience`.
pub fn write_all(file: &File, mut bytes: &[u8], patience: PollTimeout) {
    while !bytes.is_empty() {
        let mut ready = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut ready, patience) {
            Ok(0) => return,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        match nix::unistd::write(file, chunk) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::io::Read;

    /// A pipe that takes no byte more.
    fn full_pipe() -> (File, File, usize) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let mut full = 0;
        while let Ok(n) = nix::unistd::write(&writer, &[b'.'; CHUNK]) {
            full += n;
        }
        (File::from(reader), File::from(writer), full)
    }

    #[test]
    fn whoever_speaks_does_not_wait_for_a_reader_and_nothing_is_lost() {
        let (mut reader, writer, full) = full_pipe();
        let voice = Voice::start(writer).unwrap();
        let message = "said\n".repeat(2000);
        voice.say(message.clone());
        assert!(!voice.is_silent());
        let mut read = vec![0; full + message.len()];
        reader.read_exact(&mut read).unwrap();
        assert!(read.ends_with(message.as_bytes()));
        assert!(voice.finish(Duration::from_secs(60)));
    }

    #[test]
    fn where_nobody_reads_the_end_is_not_waited_for() {
        let (reader, writer, _) = full_pipe();
        let voice = Voice::start(writer).unwrap();
        (0..2 * WAITING).for_each(|_| voice.say("said\n".to_owned()));
        assert!(!voice.finish(Duration::from_millis(1)));
        drop(reader);
    }
}
