//! Processes by descriptors that name them even after their ids are used again (pidfd_open(2)).
#![allow(unsafe_code, reason = "nix has none of these calls")]

use nix::errno::Errno;
use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// pidfd_open(2): a descriptor (close-on-exec) that names this process even after its id is used again.
pub(crate) fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// pidfd_getfd(2): a copy (close-on-exec) of a descriptor of that process.
pub(crate) fn pidfd_getfd(process: impl AsFd, number: RawFd) -> Result<OwnedFd, Errno> {
    let process = process.as_fd().as_raw_fd();
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// pidfd_send_signal(2).
pub(crate) fn send_signal(process: impl AsFd, signal: c_int) -> Result<(), Errno> {
    let fd = process.as_fd().as_raw_fd();
    // SAFETY: no siginfo is given, so the kernel fills in that of kill(2).
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, 0usize, 0) };
    Errno::result(result).map(drop)
}

/// What ioctl(2) `PIDFD_GET_INFO` gives (linux/pidfd.h): the first version of it, of 64 bytes.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    control_group: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`, since Linux 6.15.
const EXIT: u64 = 1 << 3;

nix::ioctl_readwrite!(pidfd_get_info, 0xff, 11, Info);

/// How a process ended that somebody else has waited for, as wait(2) gives it; none where the kernel does not tell.
pub(crate) fn exit_of(process: impl AsFd) -> Option<i32> {
    let mut info = Info { mask: EXIT, ..Info::default() };
    // SAFETY: the structure is as large as the request says, and lives as long as the call.
    unsafe { pidfd_get_info(process.as_fd().as_raw_fd(), &raw mut info) }.ok()?;
    (info.mask & EXIT != 0).then_some(info.exit_code)
}
