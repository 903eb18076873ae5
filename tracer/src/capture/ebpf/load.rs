//! Loads the programs and attaches them to the kernel's tracepoints. Nothing is pinned: links, programs and maps live as long as
//! the descriptors of this process.

use super::btf;
use super::libraries::{self, Libraries};
use super::machine::{self, Version};
use super::probes::{self, GoPoints};
use super::programs::{self, Maps, Programs};
use super::sys::{Moment, Probe};
use super::wire::Wired;
use crate::capture::ptrace::program;
use aya::Pod;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use gmtrace_abi::{Counts, Kind, globals, golang, maps};
use gmtrace_core::units::Pid;
use std::fmt;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::thread;

/// The object that `cargo xtask bpf` built. Aligned, because it is parsed where it lies.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/gmtrace.bpf.o"));

/// A program, and the tracepoint of the kernel that it is for.
struct Hook {
    program: &'static str,
    tracepoint: &'static str,
    /// What is not seen without it; none where there is no watching without it.
    without: Option<&'static str>,
}

/// A program for where functions of the kernel end, which tells the same as a program for a tracepoint.
struct Instead {
    of: &'static str,
    program: &'static str,
    functions: &'static [&'static str],
}

/// For kernels before 6.3. They make every such call of every process on the machine a little slower, so the tracepoints come first.
/// aarch64 can since 6.4 (ARCH_SUPPORTS_FTRACE_DIRECT_CALLS).
const INSTEAD: &[Instead] = &[
    Instead {
        of: "socket_send",
        program: "inet_send",
        functions: &["inet_sendmsg", "inet6_sendmsg"],
    },
    Instead {
        of: "socket_receive",
        program: "inet_receive",
        functions: &["inet_recvmsg", "inet6_recvmsg"],
    },
];

const HOOKS: &[Hook] = &[
    Hook { program: "process_fork", tracepoint: "sched_process_fork", without: None },
    Hook { program: "process_exec", tracepoint: "sched_process_exec", without: None },
    Hook { program: "process_exit", tracepoint: "sched_process_exit", without: None },
    Hook { program: "socket_state", tracepoint: "inet_sock_set_state", without: None },
    Hook { program: "file_flock", tracepoint: "flock_lock_inode", without: None },
    Hook { program: "file_record_lock", tracepoint: "posix_lock_inode", without: None },
    Hook {
        program: "socket_send",
        tracepoint: "sock_send_length",
        without: Some("what is asked over connections: the kernel tells of it since 6.3"),
    },
    Hook {
        program: "socket_receive",
        tracepoint: "sock_recv_length",
        without: Some("what is answered over connections: the kernel tells of it since 6.3"),
    },
    Hook {
        program: "process_stop",
        tracepoint: "signal_deliver",
        without: Some("which signal stopped a child"),
    },
    Hook {
        program: "process_signal",
        tracepoint: "signal_generate",
        without: Some("who sends signals"),
    },
];

/// The program for functions of processes that is checked fastest.
const SMALLEST: &str = "getaddrinfo_enter";

/// Programs that are loaded and attached. Dropping it takes all of it out of the kernel.
pub struct Loaded {
    programs: Programs,
    maps: Maps,
    /// What this kernel cannot tell, one sentence each.
    pub unseen: Vec<String>,
    /// What is probed in Go programs.
    pub(super) go: GoPoints,
    /// The libcs whose look-ups are watched.
    pub(super) libraries: Libraries,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("unseen", &self.unseen).finish_non_exhaustive()
    }
}

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel's structures are not known.
    #[error("{0}")]
    Btf(#[from] btf::Error),
    /// The kernel did not take the object.
    #[error("{what}: {why}")]
    Refused {
        /// What was refused.
        what: String,
        /// What the kernel said.
        why: String,
    },
}

pub(super) fn refused(what: impl Into<String>, why: &dyn std::error::Error) -> Error {
    // The chain of causes ends with what the kernel said; the verifier's log, in between, may have thousands of lines.
    tracing::debug!("{why:?}");
    let mut cause = why;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Error::Refused { what: what.into(), why: cause.to_string() }
}

/// Loads and attaches everything that needs no file of a process.
///
/// # Errors
/// What kept it from working.
pub fn load(kernel: Version) -> Result<Loaded, Error> {
    let mut loaded = open(kernel)?;
    loaded.programs.load_together(&of_tracepoints());
    loaded.attach_to_tracepoints()?;
    Ok(loaded)
}

/// Likewise, and makes ready for a command, whose program this is if it is a go command, and for what it runs, which may ask libc.
///
/// What does not wait for each other is done side by side; all is in place when this returns.
///
/// # Errors
/// What kept it from working.
pub fn load_for(kernel: Version, go: Option<&Path>) -> Result<Loaded, Error> {
    thread::scope(|scope| {
        let first_probe = scope.spawn(programs::first_probe);
        let go = go.map(|file| (file, scope.spawn(|| probes::read(file))));
        let mut loaded = open(kernel)?;
        let of_go = probes::PROGRAMS.iter().filter(|_| go.is_some());
        let of_libc = libraries::PROGRAMS;
        let wanted: Vec<_> = of_tracepoints().iter().chain(of_go).chain(of_libc).copied().collect();
        loaded.programs.load_together(&wanted);
        loaded.attach_to_tracepoints()?;
        // A thread that has panicked has said so.
        loaded.programs.keep(first_probe.join().ok().flatten());
        if let Some((file, read)) = go
            && let Some(read) = read.join().ok().flatten()
        {
            probes::put(&mut loaded, file, read);
        }
        loaded.watch_usual_libc();
        Ok(loaded)
    })
}

/// Those of the programs that are for tracepoints.
fn of_tracepoints() -> Vec<&'static str> {
    HOOKS.iter().map(|hook| hook.program).collect()
}

/// Makes the maps, and looks at what the kernel can do. Nothing is attached yet.
fn open(kernel: Version) -> Result<Loaded, Error> {
    let offsets = btf::offsets()?;
    let numbers = machine::numbers(kernel);
    let [offsets, numbers] = [bytes_of(&offsets), bytes_of(&numbers)];
    let globals = [(globals::OFFSETS, &*offsets), (globals::NUMBERS, &*numbers)];
    let size = set_by_tests("GMTRACE_TEST_RING").and_then(|size| size.parse().ok());
    let sizes = [maps::RARE, maps::MANY].map(|ring| (ring, size));
    let sizes = sizes.into_iter().filter_map(|(ring, size)| Some((ring, size?)));
    let (maps, mut programs) = programs::open(OBJECT, &globals, sizes)?;
    let mut unseen = Vec::new();
    let one_by_one = set_by_tests("GMTRACE_TEST_ONE_BY_ONE").is_some();
    if one_by_one || !programs.use_links_of_many(SMALLEST) {
        unseen.push(probes::without_many(kernel).to_owned());
    }
    let (go, libraries) = (GoPoints::default(), Libraries::default());
    Ok(Loaded { programs, maps, unseen, go, libraries })
}

/// Tests make the rings small, and use what older kernels have; a gmtrace that is in use does not.
fn set_by_tests(variable: &str) -> Option<String> {
    cfg!(debug_assertions).then(|| std::env::var(variable).ok()).flatten()
}

/// In the machine's order, as the programs read them.
fn bytes_of(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// What the kernel says of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// Its instructions.
    pub instructions: usize,
    /// How many instructions the verifier looked at, each once for every case in which it is reached; Linux tells since 5.16.
    pub looked_at: Option<u32>,
}

/// `/proc/self/fdinfo/FD` (bpf_prog_show_fdinfo in kernel/bpf/syscall.c).
fn said_of(program: BorrowedFd<'_>) -> String {
    fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).unwrap_or_default()
}

impl Loaded {
    fn attach_to_tracepoints(&mut self) -> Result<(), Error> {
        for hook in HOOKS {
            let attached = self.attach(hook);
            match (attached, hook.without) {
                (Ok(()), _) => {}
                (Err(why), Some(without)) => {
                    tracing::info!("{}: {why}", hook.tracepoint);
                    self.unseen.push(without.to_owned());
                }
                (Err(why), None) => return Err(why),
            }
        }
        Ok(())
    }

    fn attach(&mut self, hook: &Hook) -> Result<(), Error> {
        let attached = self.programs.attach_to_tracepoint(hook.program, hook.tracepoint);
        let instead = INSTEAD.iter().find(|instead| instead.of == hook.program);
        match (attached, instead) {
            (Err(why), Some(instead)) => {
                tracing::info!("{}: {why}", hook.tracepoint);
                self.programs.attach_to_ends(instead.program, instead.functions)
            }
            (attached, _) => attached,
        }
    }

    /// Loads every program that is not loaded yet, and says what the kernel thinks of each.
    ///
    /// # Errors
    /// Where it does not take one.
    pub fn verified(&mut self) -> Result<Vec<Verified>, Error> {
        let loaded = self.programs.load_all()?;
        let verified = loaded.into_iter().map(|(name, instructions, program)| {
            let said = said_of(program);
            let line = said.lines().find_map(|line| line.strip_prefix("verified_insns:"));
            let looked_at = line.and_then(|number| number.trim().parse().ok());
            Verified { name, instructions, looked_at }
        });
        Ok(verified.collect())
    }

    /// Watches a process from its next event on, and all that it starts.
    ///
    /// # Errors
    /// Where the map has no room.
    pub fn follow(&mut self, pid: Pid) -> Result<(), Error> {
        let map = self.maps.get_mut(maps::SEEDS).ok_or_else(|| missing(maps::SEEDS))?;
        let mut seeds: HashMap<&mut MapData, u32, u32> =
            map.try_into().map_err(|why| refused(maps::SEEDS, &why))?;
        let inserted = seeds.insert(pid.0.cast_unsigned(), 1, 0);
        inserted.map_err(|why| refused(format!("process {pid}"), &why))
    }

    /// Watches a process that runs already, and all that it starts; its functions are probed, if it is a go command.
    ///
    /// # Errors
    /// Where the map has no room.
    pub fn follow_running(&mut self, pid: Pid) -> Result<(), Error> {
        self.follow(pid)?;
        if program::is_go(pid.0) {
            self.watch_go(Path::new(&format!("/proc/{pid}/exe")));
        }
        self.libraries.began(pid);
        Ok(())
    }

    /// Watches the look-ups of a libc: every process that has mapped this file, of which the programs look at those of the tree.
    ///
    /// # Errors
    /// Where it has no getaddrinfo, or the kernel refuses.
    pub fn watch_libc(&mut self, file: &Path) -> Result<(), Error> {
        let offset = libraries::getaddrinfo(file).ok_or_else(|| missing("getaddrinfo"))?;
        let at = [Probe { offset, cookie: 0 }];
        // The return first: what has begun is then seen to end.
        self.probe(("getaddrinfo_return", Moment::Returned), file, &at)?;
        self.probe(("getaddrinfo_enter", Moment::Reached), file, &at)
    }

    fn watch_usual_libc(&mut self) {
        let mut libraries = std::mem::take(&mut self.libraries);
        libraries.watch_usual(self);
        self.libraries = libraries;
    }

    /// Probes the functions of a Go program, from now on and in every process that runs it; the programs look at those of the tree.
    pub fn watch_go(&mut self, file: &Path) {
        probes::watch(self, file);
    }

    /// Says what a point is.
    pub(super) fn set_point(&mut self, number: u32, point: golang::Point) -> Result<(), Error> {
        let map = self.maps.get_mut(maps::POINTS).ok_or_else(|| missing(maps::POINTS))?;
        let mut points: Array<&mut MapData, Wired<golang::Point>> =
            map.try_into().map_err(|why| refused(maps::POINTS, &why))?;
        points.set(number, Wired(point), 0).map_err(|why| refused(maps::POINTS, &why))
    }

    /// Whether probes can be attached many at once, and be taken away so.
    pub(super) fn probes_many(&self) -> bool {
        self.programs.has_links_of_many()
    }

    /// Attaches a program to instructions of a file, in every process that maps it; the programs look at those of the tree.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn probe(
        &mut self,
        program: (&str, Moment),
        file: &Path,
        probes: &[Probe],
    ) -> Result<(), Error> {
        self.programs.attach(program, file, probes)
    }

    /// The ring buffers. There is one reader.
    ///
    /// # Errors
    /// Where they cannot be mapped, or were taken before.
    pub fn rings(&mut self) -> Result<[RingBuf<MapData>; 2], Error> {
        Ok([self.ring(maps::RARE)?, self.ring(maps::MANY)?])
    }

    fn ring(&mut self, name: &str) -> Result<RingBuf<MapData>, Error> {
        let map = self.maps.remove(name).ok_or_else(|| missing(name))?;
        map.try_into().map_err(|why| refused(name, &why))
    }

    /// A process has ended, or is another program: its goroutines will not return from what they had called before that, on
    /// CLOCK_MONOTONIC.
    ///
    /// # Errors
    /// Where the map cannot be read.
    pub fn forget_calls(&mut self, of: Pid, before: u64) -> Result<(), Error> {
        let map = self.maps.get_mut(maps::CALLS).ok_or_else(|| missing(maps::CALLS))?;
        let mut calls: HashMap<&mut MapData, Wired<golang::Which>, Wired<golang::Begun>> =
            map.try_into().map_err(|why| refused(maps::CALLS, &why))?;
        let over = calls
            .iter()
            .filter_map(Result::ok)
            .filter(|(key, begun)| key.0.process == of.0.cast_unsigned() && begun.0.at < before);
        for (key, _) in over.collect::<Vec<_>>() {
            // It may just have returned.
            _ = calls.remove(&key);
        }
        Ok(())
    }

    /// How much is in the maps of what has begun and not ended.
    ///
    /// # Errors
    /// Where a map cannot be read.
    pub fn begun(&self) -> Result<[(&'static str, usize); 4], Error> {
        fn count<K: Pod, V: Pod>(maps: &Maps, name: &str) -> Result<usize, Error> {
            let map = maps.get(name).ok_or_else(|| missing(name))?;
            let map: HashMap<&MapData, K, V> = map.try_into().map_err(|why| refused(name, &why))?;
            Ok(map.keys().filter(Result::is_ok).count())
        }
        Ok([
            (maps::TREE, count::<u32, u64>(&self.maps, maps::TREE)?),
            (maps::CONNECTIONS, count::<u64, [u64; 4]>(&self.maps, maps::CONNECTIONS)?),
            (maps::LOOKUPS, count::<u64, [u64; 2]>(&self.maps, maps::LOOKUPS)?),
            (
                maps::CALLS,
                count::<Wired<golang::Which>, Wired<golang::Begun>>(&self.maps, maps::CALLS)?,
            ),
        ])
    }

    /// What each kind of record came to, over all CPUs.
    ///
    /// # Errors
    /// Where the map cannot be read.
    pub fn counts(&self) -> Result<[Counts; Kind::COUNT], Error> {
        let map = self.maps.get(maps::COUNTS).ok_or_else(|| missing(maps::COUNTS))?;
        let counts: PerCpuArray<&MapData, Wired<Counts>> =
            map.try_into().map_err(|why| refused(maps::COUNTS, &why))?;
        let mut sums = [Counts::default(); Kind::COUNT];
        for (sum, kind) in sums.iter_mut().zip(Kind::ALL) {
            let values = counts.get(&(kind as u32), 0);
            for cpu in values.map_err(|why| refused(maps::COUNTS, &why))?.iter() {
                sum.made += cpu.0.made;
                sum.dropped += cpu.0.dropped;
                sum.unpaired += cpu.0.unpaired;
            }
        }
        Ok(sums)
    }
}

pub(super) fn missing(what: &str) -> Error {
    Error::Refused { what: what.to_owned(), why: "not in the object".to_owned() }
}
