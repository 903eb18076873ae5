//! The goroutines of a live Go process.

use super::descriptors::MAX_DESCRIPTORS;
use super::file;
use super::memory::ProcessMemory;
use crate::bounded::run_bounded;
use gmtrace_core::event::{Descriptor, DescriptorTarget, GoRuntime};
use gmtrace_core::golang::{
    self, Binary, Extras, ReadMemory, Recorded, Recorder, Registration, Unreadable,
};
use gmtrace_core::units::{Fd, Pid, Tid};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The program's file, and memory that was swapped out, may lie on a filesystem that does not answer.
const BOUND: Duration = Duration::from_secs(1);

/// At most this many programs are remembered.
const MAX_BINARIES: usize = 64;

/// At most this many epoll descriptors of a process are looked at; Go has one, for all its goroutines.
const MAX_EPOLLS: usize = 8;

/// At most this many threads.
const MAX_THREADS: usize = 4096;

/// A file's text with a line for each of [`MAX_DESCRIPTORS`] registrations.
const MAX_FDINFO: usize = 128 * MAX_DESCRIPTORS;

/// Device, inode and time of the last change, seconds and nanoseconds: the same program.
type Identity = (u64, u64, i64, i64);

/// None for what is no Go program.
type Known = Result<Option<Arc<Binary>>, Unreadable>;

/// Reads goroutines, and remembers the programs it has looked into.
#[derive(Debug, Clone, Default)]
pub struct Goroutines {
    binaries: Arc<Mutex<HashMap<Identity, Known>>>,
}

impl Goroutines {
    /// No program is known yet.
    pub fn new() -> Goroutines {
        Goroutines::default()
    }

    /// The goroutines of a process with these descriptors; none when it runs no Go program or is gone.
    pub fn read(&self, pid: Pid, descriptors: &[Descriptor]) -> Option<GoRuntime> {
        let epolls: Vec<Fd> = descriptors.iter().filter(|d| is_epoll(d)).map(|d| d.fd).collect();
        let this = self.clone();
        run_bounded(BOUND, move || this.read_now(pid, &epolls)).unwrap_or_else(|| {
            let why = "its memory was not read within 1 s".to_owned();
            Some(GoRuntime { unreadable: Some(why), ..GoRuntime::default() })
        })
    }

    fn read_now(&self, pid: Pid, epolls: &[Fd]) -> Option<GoRuntime> {
        match self.open(pid, epolls) {
            Ok(program) => Some(program?.read()),
            Err(unreadable) => Some(GoRuntime::of(Err(unreadable), &HashMap::new())),
        }
    }

    /// Looks for the Go program that a process runs; none when it runs another or is gone. Whoever may not read the link to the
    /// program does not learn that it is one.
    ///
    /// # Errors
    /// When it was built by a Go that is not supported.
    pub fn open(&self, pid: Pid, epolls: &[Fd]) -> Result<Option<GoProgram>, Unreadable> {
        let exe = File::open(format!("/proc/{pid}/exe")).ok();
        let Some(binary) = exe.and_then(|exe| self.binary(exe)).transpose()?.flatten() else {
            return Ok(None);
        };
        let auxv = file::bytes(format!("/proc/{pid}/auxv"), file::SMALL).unwrap_or_default();
        let tids = threads(pid);
        let extras = Extras {
            entry: Extras::entry_in(&auxv),
            registrations: registrations(pid, epolls),
            threads: tids.keys().copied().collect(),
        };
        Ok(Some(GoProgram { binary, extras, tids, memory: ProcessMemory::of(pid) }))
    }

    fn binary(&self, exe: File) -> Option<Known> {
        let about = exe.metadata().ok()?;
        let identity = (about.dev(), about.ino(), about.mtime(), about.mtime_nsec());
        let known = || self.binaries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(binary) = known().get(&identity) {
            return Some(binary.clone());
        }
        let binary = Binary::read(exe).map(|binary| binary.map(Arc::new));
        let mut known = known();
        if known.len() >= MAX_BINARIES {
            known.clear();
        }
        known.insert(identity, binary.clone());
        Some(binary)
    }
}

/// A Go program that runs.
pub struct GoProgram {
    binary: Arc<Binary>,
    extras: Extras,
    tids: HashMap<i32, Tid>,
    memory: ProcessMemory,
}

impl GoProgram {
    /// Its goroutines now.
    pub fn read(&self) -> GoRuntime {
        self.read_through(&self.memory)
    }

    /// Its goroutines, and all that is needed to read them again without it.
    pub fn record(&self) -> (GoRuntime, Recorded) {
        let recorder = Recorder::new(&self.memory);
        let runtime = self.read_through(&recorder);
        (runtime, recorder.finish(Binary::clone(&self.binary), self.extras.clone()))
    }

    fn read_through(&self, memory: &dyn ReadMemory) -> GoRuntime {
        GoRuntime::of(golang::read(memory, &self.binary, &self.extras), &self.tids)
    }
}

fn is_epoll(descriptor: &Descriptor) -> bool {
    matches!(&descriptor.target, DescriptorTarget::Anon(name) if name.contains("eventpoll"))
}

fn registrations(pid: Pid, epolls: &[Fd]) -> Vec<Registration> {
    let texts = epolls.iter().take(MAX_EPOLLS);
    let texts =
        texts.filter_map(|fd| file::text(format!("/proc/{pid}/fdinfo/{fd}"), MAX_FDINFO).ok());
    texts.flat_map(|text| Registration::parse(&text)).collect()
}

/// Its threads: by their ids in its own pid namespace, the ids here. NSpid in `/proc/PID/task/TID/status` lists both, this one first
/// and its own last (proc_pid_status(5)).
fn threads(pid: Pid) -> HashMap<i32, Tid> {
    let tids = file::numbers(format!("/proc/{pid}/task"), MAX_THREADS).unwrap_or_default();
    let own = |tid: i32| {
        let status = file::text(format!("/proc/{pid}/task/{tid}/status"), file::SMALL).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_ascii_whitespace().next_back()?.parse().ok()
    };
    tids.into_iter().map(|tid| (own(tid).unwrap_or(tid), Tid(tid))).collect()
}
