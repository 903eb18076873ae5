//! The open descriptors of a process: links and fdinfo, nothing that could touch what is open.

use super::file;
use super::locks::FdInfo;
use gmtrace_core::event::{Descriptor, DescriptorTarget};
use gmtrace_core::units::{Fd, Inode, Pid};
use std::collections::BTreeMap;
use std::io;

/// At most this many descriptors of a process are looked at.
pub(super) const MAX_DESCRIPTORS: usize = 4096;

/// A descriptor, and what tells its file from others of the same name.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) descriptor: Descriptor,
    pub(super) inode: Option<u64>,
    pub(super) mount: Option<u64>,
}

/// The descriptors of a process.
///
/// # Errors
/// Those of reading `/proc/PID/fd`, which asks for the permission to ptrace(2).
pub(super) fn descriptors(pid: Pid) -> io::Result<Vec<Opened>> {
    let mut fds = file::numbers(format!("/proc/{pid}/fd"), MAX_DESCRIPTORS)?;
    fds.sort_unstable();
    Ok(fds.into_iter().filter_map(|fd| descriptor(pid, fd)).collect())
}

/// None when it was closed meanwhile.
fn descriptor(pid: Pid, fd: i32) -> Option<Opened> {
    let target = target(&link(pid, Fd(fd)).ok()?);
    let info = match target {
        DescriptorTarget::File(_) | DescriptorTarget::Pipe(_) | DescriptorTarget::Tty(_) => {
            FdInfo::read(pid, fd).unwrap_or_default()
        }
        _ => FdInfo::default(),
    };
    Some(opened(fd, target, info))
}

/// The descriptor whose fdinfo is known already; none when it was closed meanwhile.
pub(super) fn with_info(pid: Pid, fd: i32, info: FdInfo) -> Option<Opened> {
    Some(opened(fd, target(&link(pid, Fd(fd)).ok()?), info))
}

fn opened(fd: i32, target: DescriptorTarget, info: FdInfo) -> Opened {
    let is_file = matches!(target, DescriptorTarget::File(_));
    let descriptor = Descriptor {
        fd: Fd(fd),
        target,
        locks: info.locks,
        pos: info.pos.filter(|_| is_file),
        access: info.access.filter(|_| !is_file),
        close_on_exec: info.close_on_exec && !is_file,
    };
    Opened { descriptor, inode: info.inode, mount: info.mount }
}

/// The inodes of a process's sockets.
pub(super) fn sockets(pid: Pid) -> io::Result<Vec<Inode>> {
    let fds = file::numbers(format!("/proc/{pid}/fd"), MAX_DESCRIPTORS)?;
    let inodes = fds.into_iter().filter_map(|fd| match target(&link(pid, Fd(fd)).ok()?) {
        DescriptorTarget::Socket(inode) => Some(inode),
        _ => None,
    });
    Ok(inodes.collect())
}

/// The descriptors of a process's sockets, by their inodes.
pub(super) fn socket_numbers(pid: Pid) -> io::Result<BTreeMap<Inode, i32>> {
    let fds = file::numbers(format!("/proc/{pid}/fd"), MAX_DESCRIPTORS)?;
    let numbers = fds.into_iter().filter_map(|fd| match target(&link(pid, Fd(fd)).ok()?) {
        DescriptorTarget::Socket(inode) => Some((inode, fd)),
        _ => None,
    });
    Ok(numbers.collect())
}

/// What a descriptor refers to; none when it was closed meanwhile.
pub(super) fn target_of(pid: Pid, fd: Fd) -> Option<DescriptorTarget> {
    link(pid, fd).ok().map(|link| target(&link))
}

fn link(pid: Pid, fd: Fd) -> io::Result<String> {
    file::link(format!("/proc/{pid}/fd/{fd}"))
}

/// What a link in `/proc/PID/fd` says (proc_pid_fd(5)).
pub(super) fn target(link: &str) -> DescriptorTarget {
    if let Some(device) = link.strip_prefix("/dev/")
        && is_tty(device)
    {
        return DescriptorTarget::Tty(device.to_owned());
    }
    if link.starts_with('/') {
        return DescriptorTarget::File(link.to_owned());
    }
    let Some((kind, rest)) = link.split_once(':') else {
        return DescriptorTarget::Anon(link.to_owned());
    };
    let inside = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inode = inside.and_then(|inside| inside.parse().ok()).map(Inode);
    match (kind, inode) {
        ("socket", Some(inode)) => DescriptorTarget::Socket(inode),
        ("pipe", Some(inode)) => DescriptorTarget::Pipe(inode),
        ("anon_inode", _) => DescriptorTarget::Anon(inside.unwrap_or(rest).to_owned()),
        _ => DescriptorTarget::Anon(kind.to_owned()),
    }
}

fn is_tty(device: &str) -> bool {
    device.starts_with("pts/") || device.starts_with("tty") || device == "console"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        use DescriptorTarget::{Anon, File, Pipe, Socket, Tty};
        for (link, expected) in [
            ("socket:[12]", Socket(Inode(12))),
            ("pipe:[7]", Pipe(Inode(7))),
            ("/dev/pts/3", Tty("pts/3".to_owned())),
            ("/dev/tty", Tty("tty".to_owned())),
            ("/dev/null", File("/dev/null".to_owned())),
            ("/tmp/socket:[12]", File("/tmp/socket:[12]".to_owned())),
            ("anon_inode:[eventpoll]", Anon("eventpoll".to_owned())),
            ("anon_inode:inotify", Anon("inotify".to_owned())),
            ("pidfd:[77]", Anon("pidfd".to_owned())),
            ("socket:[99999999999999999999]", Anon("socket".to_owned())),
            ("socket:[", Anon("socket".to_owned())),
            ("", Anon(String::new())),
        ] {
            assert_eq!(target(link), expected, "{link:?}");
        }
    }
}
