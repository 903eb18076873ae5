//! bpf(2) and perf_event_open(2), as far as programs need them: to be loaded, and to be put where they run.
#![allow(unsafe_code, reason = "bpf(2), perf_event_open(2)")]

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_insn, bpf_prog_type};
use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What kind of program it is to the kernel, and how it will be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To tracepoints.
    Tracepoint,
    /// To instructions of files, one at a time.
    Instruction,
    /// To many at a time.
    Instructions,
    /// To where a function of the kernel ends, by its number among the kernel's types.
    FunctionEnd(u32),
}

/// A place in a file that a program is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    /// An instruction, bytes into the file.
    pub(super) offset: u64,
    /// What the program is told there.
    pub(super) cookie: u64,
}

/// What of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The instruction is about to be executed.
    Reached,
    /// The function that begins with it returns. For that the kernel changes the return address; never in Go, which looks at its
    /// stacks and moves them (go.dev/issue/22008).
    Returned,
}

const TRACING_UPROBES: u32 = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
const TRACING_END: u32 = bpf_attach_type::BPF_TRACE_FEXIT as u32;
const PERF_EVENT: u32 = bpf_attach_type::BPF_PERF_EVENT as u32;

/// `union bpf_attr` (include/uapi/linux/bpf.h), the part of each command up to what is used.
///
/// # Safety
/// `repr(C)`, a beginning of the union, without padding.
unsafe trait Request {}

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
    /// From `prog_btf_fd` to `line_info_cnt`: what the program itself tells of its types.
    unused: [u32; 9],
    function: u32,
}
// SAFETY: twenty-two words of four bytes, the name's among them, and three of eight, each at a multiple of its size.
unsafe impl Request for ProgLoad {}
const _: () = assert!(size_of::<ProgLoad>() == 112);

#[repr(C)]
#[derive(Default)]
struct TracepointOpen {
    name: u64,
    program: u32,
    unused: u32,
}
// SAFETY: as it stands there.
unsafe impl Request for TracepointOpen {}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    /// A perf event.
    target: u32,
    attach_type: u32,
    flags: u32,
    /// Of a perf event the cookie, otherwise the path.
    first: u64,
    offsets: u64,
    reference_counts: u64,
    cookies: u64,
    count: u32,
    uprobe_flags: u32,
    /// 0: every process.
    process: u32,
    unused: u32,
}
// SAFETY: eight words of four bytes and four of eight, each at a multiple of its size.
unsafe impl Request for LinkCreate {}
const _: () = assert!(size_of::<LinkCreate>() == 64);

#[repr(C)]
#[derive(Default)]
struct MapElement {
    map: u32,
    unused: u32,
    key: u64,
    value: u64,
    flags: u64,
}
// SAFETY: as it stands there; of BPF_MAP_FREEZE, which wants the map alone, the rest is zero.
unsafe impl Request for MapElement {}

/// bpf(2).
///
/// # Safety
/// The addresses in the request are those of what the command reads and writes.
unsafe fn bpf<T: Request>(command: bpf_cmd, request: &mut T) -> io::Result<i32> {
    let (command, size) = (command as u32, size_of::<T>());
    // SAFETY: the request has this size; the caller has seen to the rest.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *request, size) };
    i32::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

/// Loads a program. What the verifier has to say goes into `log`, unless that is empty.
///
/// # Errors
/// As bpf(2), BPF_PROG_LOAD.
pub(super) fn load(
    kind: Kind,
    name: &str,
    instructions: &[bpf_insn],
    license: &CStr,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let program_type = match kind {
        Kind::Tracepoint => bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT,
        Kind::Instruction | Kind::Instructions => bpf_prog_type::BPF_PROG_TYPE_KPROBE,
        Kind::FunctionEnd(_) => bpf_prog_type::BPF_PROG_TYPE_TRACING,
    };
    let (expected_attach_type, function) = match kind {
        Kind::Tracepoint | Kind::Instruction => (0, 0),
        Kind::Instructions => (TRACING_UPROBES, 0),
        Kind::FunctionEnd(function) => (TRACING_END, function),
    };
    let mut request = ProgLoad {
        kind: program_type as u32,
        count: count(instructions.len()),
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: count(log.len()),
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        expected_attach_type,
        function,
        ..ProgLoad::default()
    };
    // BPF_OBJ_NAME_LEN, with the NUL byte that ends it.
    for (place, byte) in request.name.iter_mut().take(15).zip(name.bytes()) {
        *place = byte;
    }
    // SAFETY: there are `count` instructions, the license ends with a NUL byte, the kernel writes at most `log_size` bytes into the
    // log, and all three live until the call is over.
    let made = unsafe { bpf(bpf_cmd::BPF_PROG_LOAD, &mut request) }?;
    // SAFETY: it is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Attaches a program to a tracepoint of the kernel.
///
/// # Errors
/// As bpf(2), BPF_RAW_TRACEPOINT_OPEN; ENOENT where this kernel has no such tracepoint.
pub(super) fn attach_to_tracepoint(program: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    open_tracepoint(program, Some(name))
}

/// Attaches a program to where the function ends that it was loaded for.
///
/// # Errors
/// As bpf(2), BPF_RAW_TRACEPOINT_OPEN.
pub(super) fn attach_to_end(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    open_tracepoint(program, None)
}

fn open_tracepoint(program: BorrowedFd<'_>, name: Option<&CStr>) -> io::Result<OwnedFd> {
    let name = name.map_or(0, |name| name.as_ptr() as u64);
    let mut request = TracepointOpen { name, program: number(program), unused: 0 };
    // SAFETY: the name, where there is one, ends with a NUL byte, and lives until the call is over.
    let made = unsafe { bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut request) }?;
    // SAFETY: it is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Attaches a program to many instructions of a file, in every process that maps it: to all of them, or to none.
///
/// # Errors
/// As bpf(2), BPF_LINK_CREATE; EBADF where `path` is no file, which kernels before 6.6 do not look at.
pub(super) fn attach_to_all(
    program: BorrowedFd<'_>,
    path: &CStr,
    probes: &[Probe],
    moment: Moment,
) -> io::Result<OwnedFd> {
    /// `BPF_F_UPROBE_MULTI_RETURN`.
    const AT_RETURN: u32 = 1;
    let offsets: Vec<u64> = probes.iter().map(|probe| probe.offset).collect();
    let cookies: Vec<u64> = probes.iter().map(|probe| probe.cookie).collect();
    let mut request = LinkCreate {
        program: number(program),
        attach_type: TRACING_UPROBES,
        first: path.as_ptr() as u64,
        offsets: offsets.as_ptr() as u64,
        cookies: cookies.as_ptr() as u64,
        count: count(probes.len()),
        uprobe_flags: if moment == Moment::Returned { AT_RETURN } else { 0 },
        ..LinkCreate::default()
    };
    // SAFETY: the path ends with a NUL byte, both lists have `count` numbers of eight bytes, and all three live until the call is over.
    let made = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut request) }?;
    // SAFETY: it is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Attaches a program to one instruction of a file, by a perf event of its own. `source` is what `/sys/bus/event_source` says of
/// uprobes.
///
/// # Errors
/// As perf_event_open(2) and bpf(2); with a cookie that is not 0, Linux 5.15 is needed.
pub(super) fn attach_to_one(
    program: BorrowedFd<'_>,
    path: &CStr,
    probe: Probe,
    moment: Moment,
    source: Source,
) -> io::Result<Vec<OwnedFd>> {
    let event = open_event(path, probe.offset, moment, source)?;
    let mut request = LinkCreate {
        program: number(program),
        target: event.as_raw_fd().cast_unsigned(),
        attach_type: PERF_EVENT,
        first: probe.cookie,
        ..LinkCreate::default()
    };
    // SAFETY: it has no address in it.
    match unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut request) } {
        // SAFETY: it is new, and nobody else's.
        Ok(made) => Ok(vec![event, unsafe { OwnedFd::from_raw_fd(made) }]),
        Err(why) if probe.cookie != 0 => Err(why),
        Err(_) => {
            // PERF_EVENT_IOC_SET_BPF (include/uapi/linux/perf_event.h): _IOW('$', 8, __u32).
            const SET_PROGRAM: libc::c_ulong = 0x4004_2408;
            // SAFETY: both are open, and no address is passed.
            let set =
                unsafe { libc::ioctl(event.as_raw_fd(), SET_PROGRAM as _, program.as_raw_fd()) };
            if set == 0 { Ok(vec![event]) } else { Err(io::Error::last_os_error()) }
        }
    }
}

/// How uprobes are told to perf_event_open(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    /// `/sys/bus/event_source/devices/uprobe/type`.
    pub(super) kind: u32,
    /// `/sys/bus/event_source/devices/uprobe/format/retprobe`: the bit of `config` for returns.
    pub(super) return_bit: u32,
}

/// The first version of `struct perf_event_attr` with `config2`.
#[repr(C)]
#[derive(Default)]
struct EventAttributes {
    kind: u32,
    size: u32,
    config: u64,
    /// `sample_period`, `sample_type`, `read_format`, flags, `wakeup_events` and `bp_type`.
    unused: [u64; 5],
    /// `config1`.
    path: u64,
    /// `config2`.
    offset: u64,
}
const _: () = assert!(size_of::<EventAttributes>() == 72);

fn open_event(path: &CStr, offset: u64, moment: Moment, source: Source) -> io::Result<OwnedFd> {
    /// `PERF_FLAG_FD_CLOEXEC`.
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    let attributes = EventAttributes {
        kind: source.kind,
        size: size_of::<EventAttributes>() as u32,
        config: if moment == Moment::Returned { 1 << (source.return_bit & 63) } else { 0 },
        path: path.as_ptr() as u64,
        offset,
        ..EventAttributes::default()
    };
    let (every_process, first_cpu, no_group) = (-1, 0, -1);
    // SAFETY: the attributes have the size they say, the path ends with a NUL byte, and both live until the call is over.
    let made = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            every_process,
            first_cpu,
            no_group,
            CLOSE_ON_EXEC,
        )
    };
    let made = i32::try_from(made).ok().filter(|made| *made >= 0);
    // SAFETY: it is new, and nobody else's.
    made.map(|made| unsafe { OwnedFd::from_raw_fd(made) }).ok_or_else(io::Error::last_os_error)
}

/// Writes the one value of a map of constants, and closes it for writing, so that the verifier can rely on them.
///
/// # Errors
/// As bpf(2), BPF_MAP_UPDATE_ELEM and BPF_MAP_FREEZE; EINVAL where the map's values have another size.
pub(super) fn set_constants(map: BorrowedFd<'_>, size: u32, value: &[u8]) -> io::Result<()> {
    if size as usize != value.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let key = 0u32;
    let mut request = MapElement {
        map: number(map),
        key: (&raw const key) as u64,
        value: value.as_ptr() as u64,
        ..MapElement::default()
    };
    // SAFETY: keys of an array have four bytes, and its values as many as are there; both live until the call is over.
    unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut request) }?;
    let mut request = MapElement { map: number(map), ..MapElement::default() };
    // SAFETY: it has no address in it.
    unsafe { bpf(bpf_cmd::BPF_MAP_FREEZE, &mut request) }.map(drop)
}
