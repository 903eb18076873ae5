//! The room for unsafe code: system calls that no crate wraps as they are needed here.
//!
//! nix is left where it cannot say what a tracer must: its `wait` refuses real-time signals (hard case 4), its
//! `Signal` has no name for them, and it lacks PTRACE_LISTEN (hard case 2).
#![allow(unsafe_code)] // Each block says why it is sound.

use nix::errno::Errno;
use std::ffi::{CStr, CString, OsString, c_char, c_int, c_long, c_void};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arch;
pub(crate) use super::pidfd::{exit_of, pidfd_getfd, pidfd_open, send_signal};

// ---- What was inherited -------------------------------------------------------------------------------------------

/// Blocked signals at start, bit `n - 1` for signal `n`.
static MASK: AtomicU64 = AtomicU64::new(0);
/// Ignored signals at start, likewise.
static IGNORED: AtomicU64 = AtomicU64::new(0);
/// Which of the descriptors 0, 1, 2 were closed at start.
static CLOSED: AtomicU64 = AtomicU64::new(0);

/// Signals are numbered 1 to this on Linux (signal(7)).
pub(crate) const LAST_SIGNAL: c_int = 64;

/// What gmtrace was started with, before the Rust runtime changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// Blocked signals, bit `n - 1` for signal `n`.
    pub mask: u64,
    /// Ignored signals, likewise.
    pub ignored: u64,
    /// Bit `n` is set when descriptor `n` (0, 1, 2) was closed.
    pub closed: u64,
}

/// What gmtrace was started with.
pub(crate) fn inherited() -> Inherited {
    Inherited {
        mask: MASK.load(Ordering::Relaxed),
        ignored: IGNORED.load(Ordering::Relaxed),
        closed: CLOSED.load(Ordering::Relaxed),
    }
}

/// The kernel's `struct sigaction` (rt_sigaction(2), "C library/kernel differences").
#[repr(C)]
#[derive(Default)]
struct KernelSigaction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Runs before `main`: std sets SIGPIPE to ignored and opens `/dev/null` for closed descriptors before any code of ours
/// (library/std/src/sys/pal/unix/mod.rs, `init`), and the command must get what gmtrace got.
extern "C" fn remember() {
    let mut mask = 0u64;
    // SAFETY: the kernel writes eight bytes, the size given, into `mask`.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, 0usize, &raw mut mask, 8usize);
    }
    MASK.store(mask, Ordering::Relaxed);
    let ignored = (1..=LAST_SIGNAL).filter(|&signal| is_ignored(signal)).map(signal_bit);
    IGNORED.store(ignored.fold(0, |all, bit| all | bit), Ordering::Relaxed);
    // SAFETY: F_GETFD takes no pointer.
    let is_closed = |fd: &u64| unsafe { libc::fcntl(*fd as c_int, libc::F_GETFD) } < 0;
    CLOSED.store((0..3).filter(is_closed).fold(0, |all, fd| all | 1 << fd), Ordering::Relaxed);
}

#[used]
// SAFETY: the C library calls each function of this section once before `main` (System V ABI, "Initialization and
// Termination Functions"); `remember` needs nothing that is set up later: plain system calls and atomics.
#[unsafe(link_section = ".init_array")]
static REMEMBER: extern "C" fn() = remember;

fn is_ignored(signal: c_int) -> bool {
    let mut action = KernelSigaction::default();
    // SAFETY: the kernel writes its own `struct sigaction`, whose layout `KernelSigaction` has, into `action`.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, 0usize, &raw mut action, 8usize) };
    result == 0 && action.handler == libc::SIG_IGN
}

/// The bit of a signal in a kernel signal set.
pub(crate) fn signal_bit(signal: c_int) -> u64 {
    1u64.checked_shl(signal.wrapping_sub(1) as u32).unwrap_or(0)
}

/// Gives this process the signal dispositions and mask that gmtrace was started with. The last thing before exec: a
/// signal that was waiting arrives here.
pub(crate) fn restore_signals(inherited: Inherited) {
    for signal in 1..=LAST_SIGNAL {
        let ignored = inherited.ignored & signal_bit(signal) != 0;
        let handler = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
        let action = KernelSigaction { handler, ..KernelSigaction::default() };
        // SAFETY: `action` is the kernel's `struct sigaction`; SIGKILL and SIGSTOP fail with EINVAL, which is right.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, 0usize, 8usize);
        }
    }
    set_mask(inherited.mask);
}

/// Sets the calling thread's blocked signals, those of the C library's own (32, 33) too.
pub(crate) fn set_mask(mask: u64) {
    // SAFETY: the kernel reads eight bytes, the size given, from `mask`.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0usize, 8usize);
    }
}

/// Sets a signal to its default action.
pub(crate) fn default_action(signal: c_int) {
    // SAFETY: SIG_DFL installs no code.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

// ---- Processes ----------------------------------------------------------------------------------------------------

/// Which side of a fork this is.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the id of the new.
    Parent(i32),
}

/// fork(2). Refused (EDEADLK) in a process of several threads: the child would find locks held by threads that it has not.
pub(crate) fn fork() -> Result<Fork, Errno> {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    if threads > 1 {
        return Err(Errno::EDEADLK);
    }
    // SAFETY: there is one thread, so the child has everything that the parent has, and no lock is held by another.
    match unsafe { libc::fork() } {
        -1 => Err(Errno::last()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends this process at once: no exit handlers, no flushing of what belongs to the parent.
pub(crate) fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(c_int::from(status)) }
}

/// Arguments or environment for exec: strings and the array of pointers to them.
pub(crate) struct Words {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl Words {
    /// Takes the words; one with a NUL byte in it is refused, since the kernel could not be given it.
    pub(crate) fn new(words: impl IntoIterator<Item = OsString>) -> Result<Words, Errno> {
        let strings: Result<Vec<CString>, _> =
            words.into_iter().map(|word| CString::new(word.into_vec())).collect();
        let strings = strings.map_err(|_| Errno::EINVAL)?;
        let mut pointers: Vec<*const c_char> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Ok(Words { pointers, _strings: strings })
    }
}

unsafe extern "C" {
    /// environ(7).
    static mut environ: *const *const c_char;
}

/// execvp(3) with this environment, whose PATH is the one searched, as by env(1). Returns only the error.
pub(crate) fn exec(argv: &Words, env: &Words) -> Errno {
    let Some(&program) = argv.pointers.first().filter(|word| !word.is_null()) else {
        return Errno::ENOENT;
    };
    // SAFETY: both arrays end in NULL and their strings live as long as `argv` and `env`; called in a process of one
    // thread (a forked child), so nobody reads `environ` meanwhile.
    unsafe {
        environ = env.pointers.as_ptr();
        libc::execvp(program, argv.pointers.as_ptr());
    }
    Errno::last()
}

/// Installs a seccomp filter on the calling thread.
///
/// SECCOMP_FILTER_FLAG_SPEC_ALLOW: without it, kernels before 5.16 turn off speculation for filtered processes, which
/// would slow the command down (seccomp(2)).
pub(crate) fn install_filter(program: &[seccompiler::sock_filter]) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: both crates' `sock_filter` are the kernel's (repr(C), u16 u8 u8 u32); the kernel copies `len` of them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    Errno::result(result).map(drop)
}

// ---- Descriptors --------------------------------------------------------------------------------------------------

/// Closes a descriptor by number.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: callers close descriptors that nothing in this process owns: 0 to 2 in a child about to exec, and inherited
    // ones.
    unsafe {
        libc::close(fd);
    }
}

/// A copy of a descriptor, close-on-exec, above the standard streams (fcntl(2), F_DUPFD_CLOEXEC).
pub(crate) fn duplicate(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: plain numbers; whether there is such a descriptor the kernel says.
    let copy = Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// The extended attribute of a socket that names its protocol: `TCP`, `UDPv6`, `UNIX-STREAM`. Only for a path that is
/// known to name a socket: on a file of a dead mount this would hang.
pub(crate) fn socket_protocol(path: &CStr) -> Option<String> {
    let mut name = [0u8; 32];
    // SAFETY: both strings end in NUL; the kernel writes at most the given number of bytes.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"system.sockprotoname".as_ptr(),
            name.as_mut_ptr().cast::<c_void>(),
            name.len(),
        )
    };
    let name = name.get(..usize::try_from(length).ok()?)?;
    let name = name.split(|&byte| byte == 0).next()?;
    String::from_utf8(name.to_vec()).ok()
}

/// Whether a thread is one of this process's. Asked of the kernel, in gmtrace's own pid namespace, whatever `/proc` shows: tgkill(2)
/// looks for the pair before it looks for the right to send.
pub(crate) fn is_thread_of(pid: i32, tid: i32) -> bool {
    // SAFETY: numbers; signal 0 is sent to nobody.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, 0) };
    Errno::result(result) != Err(Errno::ESRCH)
}

/// Whether `/proc` shows another pid namespace than ours: `unshare --pid` without `--mount-proc`.
pub(crate) fn proc_is_foreign() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let pid = super::spawn::status_field(&status, "Pid").and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid: u32| pid != std::process::id())
}

/// The `struct tcp_info` of a socket, as long as this kernel has it (tcp(7), TCP_INFO).
pub(crate) fn tcp_info(socket: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0_u8; 512];
    let mut length: libc::socklen_t = 512;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the buffer is as long as is said, and lives until the call returns.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    bytes.truncate(length as usize);
    Ok(bytes)
}

/// kill(2), for real-time signals too.
pub(crate) fn kill(pid: i32, signal: c_int) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

// ---- Waking the ptrace thread -------------------------------------------------------------------------------------

extern "C" fn nothing(_: c_int) {}

/// Lets SIGALRM interrupt the calling thread's system calls: a handler that does nothing, without SA_RESTART.
pub(crate) fn install_alarm() {
    // SAFETY: `nothing` is async-signal-safe; a zeroed sigaction is one without flags and with an empty mask.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGALRM);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Sends SIGALRM every so many milliseconds, or, with 0, no more. It repeats, so that one that comes just before the thread
/// goes to sleep is not the last.
pub(crate) fn set_alarm(millis: u32) {
    let every = libc::timeval {
        tv_sec: libc::time_t::from(millis / 1000),
        tv_usec: libc::suseconds_t::from(millis % 1000 * 1000),
    };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: `timer` is read, nothing is written.
    unsafe {
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
}

/// Interrupts the system call that a thread of this process sleeps in, by SIGALRM.
pub(crate) fn wake(tid: i32) {
    // SAFETY: numbers.
    unsafe {
        libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGALRM);
    }
}

// ---- Waiting ------------------------------------------------------------------------------------------------------

/// A wait status as the kernel gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawStatus {
    /// Whose.
    pub tid: i32,
    /// wait(2), `wstatus`.
    pub status: c_int,
    /// User and system time of the process and its reaped children, in nanoseconds.
    pub cpu_ns: u64,
}

/// wait4(2) for any child or tracee. `None`: with WNOHANG, nothing is ready.
pub(crate) fn wait_any(options: c_int) -> Result<Option<RawStatus>, Errno> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a status and an rusage into the two places.
    let tid = unsafe { libc::wait4(-1, &raw mut status, options, &raw mut usage) };
    match Errno::result(tid)? {
        0 => Ok(None),
        tid => Ok(Some(RawStatus {
            tid,
            status,
            cpu_ns: nanos(usage.ru_utime) + nanos(usage.ru_stime),
        })),
    }
}

fn nanos(time: libc::timeval) -> u64 {
    let whole = u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000);
    whole.saturating_add(u64::try_from(time.tv_usec).unwrap_or(0).saturating_mul(1000))
}

// ---- ptrace(2) ----------------------------------------------------------------------------------------------------

/// One request; `data` is a number or points to what the request reads or writes.
///
/// # Safety
/// `addr` and `data` must be what the request's paragraph in ptrace(2) asks for.
unsafe fn ptrace(request: u32, tid: i32, addr: usize, data: usize) -> Result<c_long, Errno> {
    // The system call itself: the C library's wrapper differs for the PEEK requests, which are not used here.
    // SAFETY: as promised by the caller.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_ptrace, request as c_long, tid as c_long, addr, data)
    })
}

/// PTRACE_SEIZE.
pub(crate) fn seize(tid: i32, options: c_int) -> Result<(), Errno> {
    // SAFETY: both are numbers.
    unsafe { ptrace(libc::PTRACE_SEIZE, tid, 0, options as usize) }.map(drop)
}

/// PTRACE_CONT, PTRACE_SYSCALL or PTRACE_DETACH with a signal, PTRACE_LISTEN or PTRACE_INTERRUPT without (0).
pub(crate) fn resume(request: u32, tid: i32, signal: c_int) -> Result<(), Errno> {
    // SAFETY: these requests take numbers only.
    unsafe { ptrace(request, tid, 0, signal as usize) }.map(drop)
}

/// PTRACE_GETEVENTMSG.
pub(crate) fn event_message(tid: i32) -> Result<u64, Errno> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes an unsigned long to `message`.
    unsafe { ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message as usize) }?;
    Ok(message)
}

/// What of a siginfo_t says who sent the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    /// `si_code`.
    pub code: c_int,
    /// `si_pid`, where the code says that there is one.
    pub pid: i32,
    /// `si_uid`, likewise.
    pub uid: u32,
}

/// PTRACE_GETSIGINFO.
pub(crate) fn signal_info(tid: i32) -> Result<SignalInfo, Errno> {
    // SAFETY: all zeroes is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a siginfo_t to `info`.
    unsafe { ptrace(libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info as usize) }?;
    // SAFETY: the whole structure is initialised, so any reading of its union is of plain numbers.
    let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
    Ok(SignalInfo { code: info.si_code, pid, uid })
}

/// PTRACE_SETSIGINFO: changes who the waiting signal seems to come from. Used to give a signal that was passed on the
/// sender it had.
pub(crate) fn set_sender(tid: i32, sender: SignalInfo) -> Result<(), Errno> {
    // SAFETY: as in `signal_info`.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: as in `signal_info`.
    unsafe { ptrace(libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info as usize) }?;
    info.si_code = sender.code;
    let start = &raw mut info as *mut u8;
    // SAFETY: `si_pid` and `si_uid` are the first two ints of the union, at 16 and 20 on every 64-bit Linux
    // (include/uapi/asm-generic/siginfo.h); a siginfo_t is 128 bytes.
    unsafe {
        start.add(16).cast::<i32>().write(sender.pid);
        start.add(20).cast::<u32>().write(sender.uid);
    }
    // SAFETY: the kernel reads a siginfo_t.
    unsafe { ptrace(libc::PTRACE_SETSIGINFO, tid, 0, &raw mut info as usize) }.map(drop)
}

/// `struct ptrace_syscall_info` (include/uapi/linux/ptrace.h), its union as words.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawSyscallInfo {
    /// PTRACE_SYSCALL_INFO_*.
    pub op: u8,
    _pad: [u8; 3],
    /// AUDIT_ARCH_* of the call.
    pub arch: u32,
    /// Where the program is.
    pub instruction_pointer: u64,
    /// And its stack.
    pub stack_pointer: u64,
    /// Entry: number and six arguments; seccomp: the same and the filter's data; exit: result and whether it is an error.
    pub words: [u64; 8],
}

/// PTRACE_GET_SYSCALL_INFO.
pub(crate) fn syscall_info(tid: i32) -> Result<RawSyscallInfo, Errno> {
    let mut info = RawSyscallInfo::default();
    let size = std::mem::size_of::<RawSyscallInfo>();
    // SAFETY: the kernel writes at most `size` bytes to `info`, which is plain numbers.
    unsafe { ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size, &raw mut info as usize) }?;
    Ok(info)
}

/// PTRACE_SETREGSET from `words`.
pub(crate) fn set_registers(tid: i32, set: arch::RegisterSet, words: &[u64]) -> Result<(), Errno> {
    let mut vector = libc::iovec {
        iov_base: words.as_ptr().cast_mut().cast::<c_void>(),
        iov_len: std::mem::size_of_val(words),
    };
    // SAFETY: the kernel reads at most `iov_len` bytes from the words, and writes nothing to them.
    unsafe { ptrace(libc::PTRACE_SETREGSET, tid, set as usize, &raw mut vector as usize) }.map(drop)
}

/// PTRACE_GETREGSET into `registers`.
pub(crate) fn registers(tid: i32, set: arch::RegisterSet, words: &mut [u64]) -> Result<(), Errno> {
    let mut vector = libc::iovec {
        iov_base: words.as_mut_ptr().cast::<c_void>(),
        iov_len: std::mem::size_of_val(words),
    };
    // SAFETY: the kernel writes at most `iov_len` bytes to the words.
    unsafe { ptrace(libc::PTRACE_GETREGSET, tid, set as usize, &raw mut vector as usize) }.map(drop)
}

// ---- Signals of this process --------------------------------------------------------------------------------------

/// Sends this thread a signal.
pub(crate) fn raise(signal: c_int) {
    // SAFETY: a number.
    unsafe {
        libc::raise(signal);
    }
}

/// Delivers a signal that waits because it is blocked, then blocks everything again. With a stop signal, this process is
/// stopped in between.
pub(crate) fn let_through(signal: c_int) {
    set_mask(!signal_bit(signal));
    set_mask(!0);
}

/// Drops a signal that waits: ignoring it does (sigaction(2), NOTES).
pub(crate) fn drop_waiting(signal: c_int) {
    // SAFETY: SIG_IGN installs no code.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
    default_action(signal);
}

/// Lets children be waited for, whatever gmtrace inherited: with SIGCHLD ignored their ends would not be reported (wait(2),
/// NOTES). SA_NOCLDSTOP spares a signal for each stop.
pub(crate) fn expect_children() {
    let flags = libc::SA_NOCLDSTOP as u64;
    let action = KernelSigaction { handler: libc::SIG_DFL, flags, ..KernelSigaction::default() };
    // SAFETY: `action` is the kernel's `struct sigaction`, with the default action.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, libc::SIGCHLD, &raw const action, 0usize, 8usize);
    }
}

/// Lets the signals of this process's own faults end it, and only its own: std's handler for SIGSEGV and SIGBUS would take the
/// first of them for a stack overflow to look into. They stay blocked like all others, since a whole group may be sent one
/// (`timeout -s ABRT`) and the tracer's end is the command's. A fault unblocks its signal (kernel: force_sig_info_to_task), and
/// so does abort(3).
pub(crate) fn die_of_own_faults() {
    use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    for fault in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP] {
        default_action(fault);
    }
    set_mask(!0);
}

/// Gives up the descriptors that were inherited: standard input and output (and error, if `all`) become `/dev/null`, others are
/// closed. Whoever reads from the command's pipes sees its end when the command ends, not when gmtrace does. Inherited ones
/// are told by the lack of close-on-exec, which everything opened by std and by gmtrace has.
pub(crate) fn let_go_of_files(all: bool) {
    for fd in inherited_files() {
        close(fd);
    }
    let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") else {
        return;
    };
    for fd in 0..if all { 3 } else { 2 } {
        // SAFETY: these numbers belong to std's standard streams, which use whatever is behind them.
        unsafe {
            libc::dup2(null.as_raw_fd(), fd);
        }
    }
}

fn inherited_files() -> Vec<RawFd> {
    let Ok(list) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers = list.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let inherited = |fd: &RawFd| {
        // SAFETY: F_GETFD takes no pointer.
        *fd > 2 && unsafe { libc::fcntl(*fd, libc::F_GETFD) } == 0
    };
    numbers.filter(inherited).collect()
}
