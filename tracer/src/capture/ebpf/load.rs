//! Loads the programs and attaches them to the kernel's tracepoints. Nothing is pinned: links, programs and maps live as long as
//! the descriptors of this process.

use super::btf;
use super::libraries::{self, Libraries};
use super::machine::{self, Version};
use super::multi::{Multi, Place, Probe};
use super::probes::{self, GoPoints};
use super::wire::Wired;
use crate::capture::ptrace::program;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope};
use aya::programs::{RawTracePoint, UProbe};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use gmtrace_abi::{Counts, Kind, globals, golang, maps};
use gmtrace_core::units::Pid;
use std::fmt;
use std::path::Path;

/// The object that `cargo xtask bpf` built. Aligned, because it is parsed where it lies.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/gmtrace.bpf.o"));

/// A program, and the tracepoint of the kernel that it is for.
struct Hook {
    program: &'static str,
    tracepoint: &'static str,
    /// What is not seen without it; none where there is no watching without it.
    without: Option<&'static str>,
}

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

/// The programs for functions of processes.
const ON_FUNCTIONS: &[&str] =
    &["go_enter", "go_return", "go_write", "getaddrinfo_enter", "getaddrinfo_return"];
/// The one of them that is checked fastest.
const SMALLEST: &str = "getaddrinfo_enter";

/// Programs that are loaded and attached. Dropping it takes all of it out of the kernel.
pub struct Loaded {
    programs: Ebpf,
    /// Those for functions of processes, where the kernel can attach them to many instructions at once.
    multi: Option<Multi>,
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
    let offsets = btf::offsets()?;
    let numbers = machine::numbers(kernel);
    let mut loader = EbpfLoader::new();
    loader
        .btf(None)
        .verifier_log_level(verifier_log())
        .override_global(globals::OFFSETS, offsets.as_slice(), true)
        .override_global(globals::NUMBERS, numbers.as_slice(), true);
    let programs = loader.load(OBJECT).map_err(|why| refused("the maps", &why))?;
    let (go, libraries) = (GoPoints::default(), Libraries::default());
    let multi = many(&programs);
    let unseen = if multi.is_none() { vec![probes::WITHOUT_MANY.to_owned()] } else { Vec::new() };
    let mut loaded = Loaded { programs, multi, unseen, go, libraries };
    for hook in HOOKS {
        match (loaded.attach(hook), hook.without) {
            (Ok(()), _) => {}
            (Err(why), Some(without)) => {
                tracing::info!("{}: {why}", hook.tracepoint);
                loaded.unseen.push(without.to_owned());
            }
            (Err(why), None) => return Err(why),
        }
    }
    let mut libraries = std::mem::take(&mut loaded.libraries);
    libraries.watch_usual(&mut loaded);
    loaded.libraries = libraries;
    Ok(loaded)
}

/// The programs for functions of processes, where the kernel can attach them to many instructions at once.
fn many(made: &Ebpf) -> Option<Multi> {
    let multi = Multi::prepare(OBJECT, made, ON_FUNCTIONS).and_then(|mut multi| {
        let known = multi.is_known(SMALLEST)?;
        Ok(known.then_some(multi))
    });
    multi.unwrap_or_else(|why| {
        tracing::info!("{why}");
        None
    })
}

/// The kernel writes a log for who wants it: it takes longer than the check itself.
fn verifier_log() -> VerifierLogLevel {
    match tracing::enabled!(tracing::Level::DEBUG) {
        true => VerifierLogLevel::default(),
        false => VerifierLogLevel::DISABLE,
    }
}

/// What the kernel says of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// Its instructions, as the kernel has them after the verifier has changed some.
    pub instructions: u32,
    /// How many the verifier looked at, each once for every case in which it is reached; Linux tells since 5.16.
    pub looked_at: Option<u32>,
}

impl Loaded {
    /// Every program that is loaded.
    pub fn programs(&self) -> Vec<Verified> {
        let verified = |(name, program): (&str, &aya::programs::Program)| {
            let info = program.info().ok()?;
            Some(Verified {
                name: name.to_owned(),
                instructions: info.size_translated().unwrap_or(0) / 8,
                looked_at: info.verified_instruction_count(),
            })
        };
        let mut programs: Vec<_> = self.programs.programs().filter_map(verified).collect();
        programs.sort_by(|a, b| a.name.cmp(&b.name));
        programs
    }

    fn attach(&mut self, hook: &Hook) -> Result<(), Error> {
        let Some(program) = self.programs.program_mut(hook.program) else {
            let why = "not in the object".to_owned();
            return Err(Error::Refused { what: hook.program.to_owned(), why });
        };
        let program: &mut RawTracePoint =
            program.try_into().map_err(|why| refused(hook.program, &why))?;
        program.load().map_err(|why| refused(format!("the program {}", hook.program), &why))?;
        let attached = program.attach(hook.tracepoint);
        attached.map_err(|why| refused(format!("the tracepoint {}", hook.tracepoint), &why))?;
        Ok(())
    }

    /// Watches a process from its next event on, and all that it starts.
    ///
    /// # Errors
    /// Where the map has no room.
    pub fn follow(&mut self, pid: Pid) -> Result<(), Error> {
        let map = self.programs.map_mut(maps::SEEDS).ok_or_else(|| missing(maps::SEEDS))?;
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
        self.probe(("getaddrinfo_return", Place::Return), file, &at)?;
        self.probe(("getaddrinfo_enter", Place::Here), file, &at)
    }

    /// Probes the functions of a Go program, from now on and in every process that runs it; the programs look at those of the tree.
    pub fn watch_go(&mut self, file: &Path) {
        probes::watch(self, file);
    }

    /// Says what a point is.
    pub(super) fn set_point(&mut self, number: u32, point: golang::Point) -> Result<(), Error> {
        let map = self.programs.map_mut(maps::POINTS).ok_or_else(|| missing(maps::POINTS))?;
        let mut points: Array<&mut MapData, Wired<golang::Point>> =
            map.try_into().map_err(|why| refused(maps::POINTS, &why))?;
        points.set(number, Wired(point), 0).map_err(|why| refused(maps::POINTS, &why))
    }

    /// Whether probes can be attached many at once, and be taken away so.
    pub(super) fn probes_many(&self) -> bool {
        self.multi.is_some()
    }

    /// Attaches a program to instructions of a file.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn probe(
        &mut self,
        program: (&str, Place),
        file: &Path,
        at: &[Probe],
    ) -> Result<(), Error> {
        match &mut self.multi {
            _ if at.is_empty() => Ok(()),
            Some(multi) => multi.attach(program, file, at),
            None => at.iter().try_for_each(|probe| self.probe_one(program.0, file, *probe)),
        }
    }

    fn probe_one(&mut self, name: &str, file: &Path, probe: Probe) -> Result<(), Error> {
        let program = self.programs.program_mut(name).ok_or_else(|| missing(name))?;
        let program: &mut UProbe = program.try_into().map_err(|why| refused(name, &why))?;
        if program.fd().is_err() {
            program.load().map_err(|why| refused(format!("the program {name}"), &why))?;
        }
        let point = UProbeAttachPoint {
            location: UProbeAttachLocation::AbsoluteOffset(probe.offset),
            cookie: (probe.cookie != 0).then_some(probe.cookie),
        };
        let attached = program.attach(point, file, UProbeScope::AllProcesses);
        attached
            .map(drop)
            .map_err(|why| refused(format!("{:#x} in {}", probe.offset, file.display()), &why))
    }

    /// The ring buffers. There is one reader.
    ///
    /// # Errors
    /// Where they cannot be mapped, or were taken before.
    pub fn rings(&mut self) -> Result<[RingBuf<MapData>; 2], Error> {
        Ok([self.ring(maps::RARE)?, self.ring(maps::MANY)?])
    }

    fn ring(&mut self, name: &str) -> Result<RingBuf<MapData>, Error> {
        let map = self.programs.take_map(name).ok_or_else(|| missing(name))?;
        map.try_into().map_err(|why| refused(name, &why))
    }

    /// What each kind of record came to, over all CPUs.
    ///
    /// # Errors
    /// Where the map cannot be read.
    pub fn counts(&self) -> Result<[Counts; Kind::COUNT], Error> {
        let map = self.programs.map(maps::COUNTS).ok_or_else(|| missing(maps::COUNTS))?;
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
