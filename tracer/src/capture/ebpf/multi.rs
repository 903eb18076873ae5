//! Probes of many instructions of a file by one link (`BPF_TRACE_UPROBE_MULTI`, Linux 6.6).
//!
//! When a probe goes, the kernel waits until nobody can be in it (uprobe_unregister_sync in kernel/events/uprobes.c): some 100 ms. By
//! a perf event each, it waits for every instruction, for one after the other, and does so where gmtrace was killed as well; by a
//! link, once for all of them. aya knows such links since 0.15, which asks for a newer Rust: what it lacks is done here, with the maps
//! that it has made.
#![allow(unsafe_code, reason = "bpf(2)")]

use super::load::{Error, missing, refused};
use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya_obj::Object;
use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_insn, bpf_prog_type};
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How a program is told to the kernel, when it is loaded and when it is attached.
const UPROBES: u32 = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
/// Bytes of the verifier's log.
const LOG: usize = 1 << 20;

/// `BPF_F_UPROBE_MULTI_RETURN`: when the function that begins at the instruction returns to its caller.
const AT_RETURN: u32 = 1;

/// An instruction, in bytes into its file, and what the program is told there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) offset: u64,
    pub(super) cookie: u64,
}

/// Programs for instructions of files, and their links.
#[derive(Debug)]
pub(super) struct Multi {
    license: CString,
    programs: HashMap<String, Program>,
    links: Vec<OwnedFd>,
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Instructions.
    Here,
    /// Returns of the functions that begin there, by changing the return address; never in Go, which looks at its stacks and moves
    /// them (go.dev/issue/22008).
    Return,
}

#[derive(Debug)]
enum Program {
    /// Its instructions name maps by their descriptors, which stay open as long as anything is attached.
    Ready(Vec<bpf_insn>),
    Loaded(OwnedFd),
}

impl Multi {
    /// Makes programs of an object ready to be loaded, with the maps that were made of it.
    ///
    /// # Errors
    /// Where it is another object.
    pub(super) fn prepare(object: &[u8], made: &Ebpf, names: &[&str]) -> Result<Multi, Error> {
        let mut object = Object::parse(object).map_err(|why| refused("the object", &why))?;
        object.programs.retain(|name, _| names.contains(&name.as_str()));
        let maps = std::mem::take(&mut object.maps);
        let known = maps.iter().filter_map(|(name, map)| {
            let descriptor = made.map(name).and_then(data)?.fd().as_fd().as_raw_fd();
            Some((name.as_str(), descriptor, map))
        });
        let sections = object.functions.keys().map(|(section, _)| *section).collect();
        object.relocate_maps(known, &sections).map_err(|why| refused("the maps", &why))?;
        object.relocate_calls(&sections).map_err(|why| refused("the calls", &why))?;
        let ready = object.programs.iter().filter_map(|(name, program)| {
            let function = object.functions.get(&program.function_key())?;
            Some((name.clone(), Program::Ready(function.instructions.clone())))
        });
        Ok(Multi { programs: ready.collect(), license: object.license, links: Vec::new() })
    }

    /// Whether the kernel knows such links: then it looks at the file, and says that a directory is none
    /// (bpf_uprobe_multi_link_attach in kernel/trace/bpf_trace.c).
    ///
    /// # Errors
    /// Where it does not take the program.
    pub(super) fn is_known(&mut self, program: &str) -> Result<bool, Error> {
        let nothing = Probe { offset: 0, cookie: 0 };
        let answer = self.link((program, Place::Here), Path::new("/"), &[nothing])?;
        Ok(answer.is_err_and(|why| why.raw_os_error() == Some(libc::EBADF)))
    }

    /// Puts a program on all these instructions of a file, in every process that maps it: on all of them, or on none.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn attach(
        &mut self,
        program: (&str, Place),
        file: &Path,
        at: &[Probe],
    ) -> Result<(), Error> {
        let linked = self.link(program, file, at)?;
        let probes = || format!("{} probes in {}", at.len(), file.display());
        self.links.push(linked.map_err(|why| refused(probes(), &why))?);
        Ok(())
    }

    fn link(
        &mut self,
        (name, place): (&str, Place),
        file: &Path,
        at: &[Probe],
    ) -> Result<io::Result<OwnedFd>, Error> {
        let program = self.program(name)?;
        let offsets: Vec<u64> = at.iter().map(|probe| probe.offset).collect();
        let cookies: Vec<u64> = at.iter().map(|probe| probe.cookie).collect();
        let path = c_string(file.as_os_str().as_bytes())?;
        let mut request = LinkCreate {
            program: program.as_raw_fd().cast_unsigned(),
            attach_type: UPROBES,
            path: path.as_ptr() as u64,
            offsets: offsets.as_ptr() as u64,
            cookies: cookies.as_ptr() as u64,
            count: u32::try_from(at.len()).unwrap_or(u32::MAX),
            uprobe_flags: if place == Place::Return { AT_RETURN } else { 0 },
            ..LinkCreate::default()
        };
        // SAFETY: `path` ends with a NUL byte, both lists have `count` numbers of eight bytes, and all three live until the call is over.
        Ok(unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut request) })
    }

    /// The descriptor of a program, which is loaded if it was not.
    fn program(&mut self, name: &str) -> Result<&OwnedFd, Error> {
        let place = self.programs.get_mut(name).ok_or_else(|| missing(name))?;
        if let Program::Ready(instructions) = place {
            *place = Program::Loaded(load(name, instructions, &self.license)?);
        }
        match place {
            Program::Loaded(descriptor) => Ok(descriptor),
            Program::Ready(_) => Err(missing(name)),
        }
    }
}

/// Loads a program for probes.
fn load(name: &str, instructions: &[bpf_insn], license: &CString) -> Result<OwnedFd, Error> {
    let mut log = Vec::new();
    if tracing::enabled!(tracing::Level::DEBUG) {
        log.resize(LOG, 0u8);
    }
    let mut request = ProgLoad {
        kind: bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32,
        count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        name: short(name),
        expected_attach_type: UPROBES,
        ..ProgLoad::default()
    };
    // SAFETY: there are `count` instructions, the license ends with a NUL byte, the kernel writes at most `log_size` bytes into the log;
    // and all three live until the call is over.
    let loaded = unsafe { bpf(bpf_cmd::BPF_PROG_LOAD, &mut request) };
    loaded.map_err(|why| {
        tracing::debug!("{}", String::from_utf8_lossy(&log).trim_end_matches('\0'));
        refused(format!("the program {name}"), &why)
    })
}

/// Fifteen letters, as the kernel keeps them (BPF_OBJ_NAME_LEN).
fn short(name: &str) -> [u8; 16] {
    let mut short = [0; 16];
    for (place, byte) in short.iter_mut().take(15).zip(name.bytes()) {
        *place = byte;
    }
    short
}

fn c_string(bytes: &[u8]) -> Result<CString, Error> {
    CString::new(bytes).map_err(|why| refused("a path", &why))
}

/// The kinds of maps that the object has.
fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::PerCpuArray(data) | Map::HashMap(data) | Map::RingBuf(data) => {
            Some(data)
        }
        _ => None,
    }
}

/// `union bpf_attr` (include/uapi/linux/bpf.h) for BPF_PROG_LOAD, up to what is used.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// Likewise for BPF_LINK_CREATE with many uprobes.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    reference_counts: u64,
    cookies: u64,
    count: u32,
    uprobe_flags: u32,
    /// 0: every process.
    process: u32,
    unused: u32,
}

/// Types that bpf(2) takes for its `union bpf_attr`.
///
/// # Safety
/// `repr(C)`, without padding, a beginning of the union.
unsafe trait Request {}
// SAFETY: 12 words of four bytes and 3 of eight, each at a multiple of its size, 72 bytes in all.
unsafe impl Request for ProgLoad {}
// SAFETY: 8 words of four bytes and 4 of eight, likewise, 64 bytes in all.
unsafe impl Request for LinkCreate {}
const _: () = assert!(size_of::<ProgLoad>() == 72 && size_of::<LinkCreate>() == 64);

/// bpf(2), where it gives a descriptor.
///
/// # Safety
/// The addresses in the request are those of what the command reads and writes.
unsafe fn bpf<T: Request>(command: bpf_cmd, request: &mut T) -> io::Result<OwnedFd> {
    let size = size_of::<T>();
    // SAFETY: the request is of this size, and the caller has seen to the rest.
    let made = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *request, size) };
    match i32::try_from(made) {
        // SAFETY: it is new, and nobody else's.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
