//! The least a tracer must do: let everything go on. For what is left when the engine has failed: a filter without a tracer
//! would turn system calls into ENOSYS, and a stopped thread would stay stopped (hard cases 10 and 29).

use super::engine::Ending;
use super::stop::{Stop, classify};
use super::sys::{self, RawStatus};
use super::tracee::{Stopped, Until};
use nix::errno::Errno;
use std::collections::VecDeque;

/// Lets these stops go on, and all that come, until no tracee is left. `ended` is told of each end.
pub(super) fn serve(batch: VecDeque<RawStatus>, mut ended: impl FnMut(RawStatus, Ending)) {
    for status in batch {
        let_go(status, &mut ended);
    }
    loop {
        match sys::wait_any(libc::__WALL) {
            Ok(Some(status)) => let_go(status, &mut ended),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn let_go(status: RawStatus, ended: &mut impl FnMut(RawStatus, Ending)) {
    let thread = Stopped::seen(status.tid);
    // Gone: killed meanwhile; its end comes by itself.
    _ = match classify(status.status) {
        Stop::Exited(code) => return ended(status, Ending::Code(code)),
        Stop::Killed(signal) => return ended(status, Ending::Signal(signal)),
        Stop::Group(_) => thread.listen(),
        Stop::Signal(signal) => thread.resume(Until::Stop, signal),
        _ => thread.resume(Until::Stop, 0),
    };
}
