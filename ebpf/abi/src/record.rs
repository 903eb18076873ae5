//! The records of the ring buffer.

use core::mem::size_of;

/// What a record is. Each kind has its own counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// [`Fork`].
    Fork,
    /// [`Exec`].
    Exec,
    /// [`Exit`].
    Exit,
    /// [`Connection`]: a TCP connection attempt begins.
    Connect,
    /// [`Connection`]: it is decided.
    ConnectEnd,
    /// [`Transfer`]: bytes were sent.
    Sent,
    /// [`Transfer`]: bytes came, or an error.
    Received,
    /// [`Lock`]: flock(2).
    Flock,
    /// [`Lock`]: fcntl(2).
    RecordLock,
    /// [`Signal`].
    Signal,
    /// [`Lookup`]: getaddrinfo(3) was called.
    LookupStart,
    /// [`Lookup`]: it has returned.
    LookupEnd,
    /// [`Stop`].
    Stop,
    /// [`Call`](crate::golang::Call): a function of a Go program is called.
    GoEntry,
    /// [`Call`](crate::golang::Call): it returns.
    GoReturn,
    /// [`Output`].
    Output,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Kind; 16] = [
        Kind::Fork,
        Kind::Exec,
        Kind::Exit,
        Kind::Connect,
        Kind::ConnectEnd,
        Kind::Sent,
        Kind::Received,
        Kind::Flock,
        Kind::RecordLock,
        Kind::Signal,
        Kind::LookupStart,
        Kind::LookupEnd,
        Kind::Stop,
        Kind::GoEntry,
        Kind::GoReturn,
        Kind::Output,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Processes, connections and signals: what everything else hangs on, and what does not come in storms.
    pub const fn is_rare(self) -> bool {
        matches!(
            self,
            Kind::Fork
                | Kind::Exec
                | Kind::Exit
                | Kind::Connect
                | Kind::ConnectEnd
                | Kind::Signal
                | Kind::Stop
        )
    }
}

/// How many records of one kind one CPU made and lost. What was received is `made - dropped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counts {
    /// There was something to tell.
    pub made: u64,
    /// The ring had no room for it.
    pub dropped: u64,
    /// A map had no room for what it belongs to (a process, a connection, a look-up): what follows of it is not seen.
    pub unpaired: u64,
}

/// How every record begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Head {
    /// CLOCK_MONOTONIC, nanoseconds.
    pub t: u64,
    /// A [`Kind`].
    pub kind: u32,
    /// Whose it is, as gmtrace's pid namespace numbers it.
    pub pid: u32,
    /// In which thread; 0 where none asked for it.
    pub tid: u32,
    /// Keeps what follows aligned.
    pub unused: u32,
}

/// A process began; the head is its parent's.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Fork {
    /// How it begins.
    pub head: Head,
    /// The new process.
    pub child: u32,
    /// Its id in its own, innermost pid namespace.
    pub child_inside: u32,
}

/// Bytes of a command line that are kept.
pub const WORDS: usize = 1024;
/// Bytes of a program's path that are kept.
pub const PROGRAM: usize = 256;

/// A process runs another program now.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Exec {
    /// How it begins.
    pub head: Head,
    /// Bytes of `words` that are used.
    pub words_len: u32,
    /// Bytes of the whole command line.
    pub words_all: u32,
    /// The path given to execve(2), up to a NUL byte.
    pub program: [u8; PROGRAM],
    /// The words, each ended by a NUL byte.
    pub words: [u8; WORDS],
}

/// The last thread of a process ends.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Exit {
    /// How it begins.
    pub head: Head,
    /// As wait(2) gives it.
    pub status: u32,
    /// Keeps the size a multiple of 8.
    pub unused: u32,
}

/// The two ends of an internet socket, and which it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ends {
    /// The socket's inode; 0 where it has none.
    pub inode: u64,
    /// IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Likewise.
    pub peer: [u8; 16],
    /// The machine's order.
    pub local_port: u16,
    /// The machine's order.
    pub peer_port: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// `IPPROTO_TCP`, `IPPROTO_UDP`, ...
    pub protocol: u16,
    /// The descriptor of the call that it was last used by; -1 where that is not known.
    pub fd: i32,
    /// Keeps the size a multiple of 8.
    pub unused: u32,
}

/// A TCP connection attempt.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Connection {
    /// How it begins.
    pub head: Head,
    /// Which.
    pub ends: Ends,
    /// An errno; 0 where it succeeded, or is only beginning.
    pub error: i32,
    /// Keeps the size a multiple of 8.
    pub unused: u32,
}

/// Bytes of a short message that are kept.
pub const SHORT: usize = 512;
/// Bytes of a long one: a ClientHello with a post-quantum key share has some 1,800.
pub const LONG: usize = 2048;

/// Bytes were sent or received.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Transfer {
    /// How it begins.
    pub head: Head,
    /// By which socket.
    pub ends: Ends,
    /// What the call returned: bytes, or a negated errno.
    pub result: i64,
    /// Messages of this connection that were seen before this one, in this direction.
    pub earlier: u32,
    /// Bytes of `payload` that are used.
    pub kept: u32,
    /// What was sent or received.
    pub payload: [u8; LONG],
}

/// Bytes of a long write that are kept.
pub const PAGE: usize = 4096;

/// A program writes to its standard error. `N` is [`SHORT`] or [`PAGE`]: the length of the record tells.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Output<const N: usize> {
    /// How it begins.
    pub head: Head,
    /// The descriptor.
    pub fd: i32,
    /// Bytes of `text` that are used.
    pub kept: u32,
    /// Bytes in all.
    pub length: u64,
    /// What is written.
    pub text: [u8; N],
}

/// Names of a path that are followed; where a filesystem is mounted counts as one.
pub const DEPTH: usize = 20;
/// Room for each, with the NUL byte that ends it (NAME_MAX of limits.h).
pub const NAME: usize = 256;
/// All of them are less than this, or left out; a power of two.
pub const PATH: usize = 2048;

/// A lock was asked for. The record is as long as its path.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Lock {
    /// How it begins.
    pub head: Head,
    /// The file's inode.
    pub inode: u64,
    /// The kernel's `dev_t` of its filesystem.
    pub device: u32,
    /// `F_RDLCK`, `F_WRLCK` (fcntl(2)).
    pub mode: u32,
    /// `FL_SLEEP`, `FL_OFDLCK`, ... (include/linux/filelock.h).
    pub flags: u32,
    /// The descriptor; -1 where it is not known.
    pub fd: i32,
    /// 0: granted; 1 (`FILE_LOCK_DEFERRED`): waits; a negated errno.
    pub result: i32,
    /// Bytes of `path` that are used; 0 where the root was not reached.
    pub kept: u32,
    /// Names from the file up to the root, each ended by a NUL byte. The last of the room is for a name that begins at its end.
    pub path: [u8; PATH + NAME],
}

/// A signal was generated; the head is its sender's.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Signal {
    /// How it begins.
    pub head: Head,
    /// The process it is for.
    pub target: u32,
    /// Its number.
    pub signal: u32,
    /// `si_code` (sigaction(2)).
    pub code: i32,
    /// The sender's user.
    pub uid: u32,
}

/// A signal whose action is to stop was taken by a process that does nothing against it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Stop {
    /// How it begins.
    pub head: Head,
    /// Its number.
    pub signal: u32,
    /// Keeps the size a multiple of 8.
    pub unused: u32,
}

/// Bytes of a host's name that are kept.
pub const HOST: usize = 256;
/// Bytes of a service's name that are kept.
pub const SERVICE: usize = 32;

/// getaddrinfo(3).
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Lookup {
    /// How it begins.
    pub head: Head,
    /// What it returned; 0 at its start.
    pub result: i32,
    /// Keeps what follows aligned.
    pub unused: u32,
    /// The host, up to a NUL byte.
    pub name: [u8; HOST],
    /// The service, up to a NUL byte.
    pub service: [u8; SERVICE],
}

// A record is as long on the user side as in the kernel, and a ring buffer's records are aligned to 8 bytes.
const _: () = {
    assert!(size_of::<Head>() == 24);
    assert!(size_of::<Counts>() == 24);
    assert!(size_of::<Fork>() == 32);
    assert!(size_of::<Exec>() == 32 + PROGRAM + WORDS);
    assert!(size_of::<Exit>() == 32);
    assert!(size_of::<Ends>() == 56);
    assert!(size_of::<Connection>() == 88);
    assert!(size_of::<Transfer>() == 96 + LONG);
    assert!(size_of::<Lock>() == 56 + PATH + NAME);
    assert!(size_of::<Signal>() == 40);
    assert!(size_of::<Stop>() == 32);
    assert!(size_of::<Output<SHORT>>() == 40 + SHORT);
    assert!(size_of::<Lookup>() == 32 + HOST + SERVICE);
};
