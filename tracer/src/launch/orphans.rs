//! As the first process of a pid namespace (a container's), gmtrace is given every process whose parent has ended
//! (pid_namespaces(7)), and nobody else will wait for them.

use crate::capture::ptrace::sys;
use nix::unistd::getpid;

/// Takes away those that have ended, where they are ours. The tracer's end is known by its socket.
pub(super) fn reap() {
    if getpid().as_raw() == 1 {
        while let Ok(Some(_)) = sys::wait_any(libc::__WALL | libc::WNOHANG) {}
    }
}
