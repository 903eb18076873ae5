//! clone(2) with CLONE_UNTRACED hides the child from its parent's tracer, and the child keeps the filter: what the filter traps would
//! fail with ENOSYS where nobody traces (hard case 9). So the flag is taken out of the call, and put back where the program could
//! find it missing: a system call leaves the registers of its arguments as they were.

use super::arch;
use super::engine::Engine;
use super::process::Calling;
use super::seccomp::CLONE_UNTRACED;
use super::tracee::{Entry, Stopped};
use gmtrace_core::event::What;
use gmtrace_core::units::Tid;
use std::collections::HashMap;

/// What was taken out of calls that are being made.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// The threads that make them, with their flags.
    makers: HashMap<Tid, u64>,
    /// Their children that have not stopped for the first time.
    children: HashMap<Tid, u64>,
}

impl Engine {
    /// A clone(2) with CLONE_UNTRACED is about to be made.
    pub(super) fn clone_untraced(&mut self, thread: &Stopped, entry: Entry) {
        let [flags, ..] = entry.args;
        if arch::set_first_argument(thread, flags & !CLONE_UNTRACED).is_err() {
            let why = "started with CLONE_UNTRACED: its connections and locks are not seen and fail with ENOSYS";
            let lost = What::Lost { what: "child".into(), count: 1, why: why.into() };
            if let Some(pid) = self.pid_of(thread) {
                self.tell(pid, thread.id(), lost);
            }
            return;
        }
        self.hidden.makers.insert(thread.id(), flags);
        self.await_end(thread, entry, Calling::Clone, true);
    }

    /// The call is over.
    pub(super) fn cloned(&mut self, thread: &Stopped) {
        if let Some(flags) = self.hidden.makers.remove(&thread.id()) {
            arch::restore_first_argument(thread, flags);
        }
    }

    /// A thread has made `child`, and may have done so by such a call.
    pub(super) fn is_maker_of(&mut self, thread: &Stopped, child: Tid) {
        if let Some(flags) = self.hidden.makers.get(&thread.id()) {
            self.hidden.children.insert(child, *flags);
        }
    }

    /// The first stop of a thread: it has its maker's registers. Where its maker's event has not come yet, and only one such call is
    /// being made, it is from that.
    pub(super) fn is_newborn(&mut self, thread: &Stopped) {
        let Hidden { makers, children } = &mut self.hidden;
        let mut only = makers.values().filter(|_| makers.len() == 1);
        let flags = children.remove(&thread.id()).or_else(|| only.next().copied());
        if let Some(flags) = flags
            && arch::first_argument(thread) == Some(flags & !CLONE_UNTRACED)
        {
            arch::restore_first_argument(thread, flags);
        }
    }

    /// A thread is gone, with the call that it was in.
    pub(super) fn forget_hidden(&mut self, tid: Tid) {
        self.hidden.makers.remove(&tid);
        self.hidden.children.remove(&tid);
    }
}
