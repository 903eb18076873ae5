//! How long each module was worked on: from probes on cmd/go where there are some, otherwise from readings of goroutines, and then no
//! finer than those.

use super::Session;
use crate::event::{Event, GoStep, GoWork, What, work};
use crate::units::{Nanos, Pid};

/// What takes no longer was nothing to wait for.
const AT_ONCE: Nanos = Nanos::from_millis(1);

/// A step for a module, by one goroutine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The go command.
    pub pid: Pid,
    /// The goroutine.
    pub goid: u64,
    /// `path@version`, or the path alone.
    pub module: String,
    /// What is done.
    pub step: GoStep,
    /// When it was first seen.
    pub since: Nanos,
    /// When it was last seen.
    pub until: Nanos,
    /// Whether the newest reading shows it.
    pub open: bool,
    /// Whether its process ended in the middle of it.
    pub cut: bool,
    /// Whether it failed; only probes tell.
    pub failed: bool,
    /// Whether probes told of it, and its times are its own; otherwise they are those of readings.
    pub exact: bool,
}

impl Session {
    pub(super) fn apply_work(&mut self, event: &Event) {
        match &event.what {
            What::GoWork { items } => self.works(event.t, event.pid, items),
            What::Snapshot(snapshot) => {
                for process in &snapshot.processes {
                    if let Some(go) = process.go.as_ref().filter(|go| go.unreadable.is_none()) {
                        self.works(event.t, process.pid, &work(go));
                    }
                }
            }
            What::GoStepStart { goid, step, module } => {
                let new = GoWork { goid: *goid, module: module.clone(), step: *step };
                self.work.push(Work { exact: true, ..Work::begun(event.t, event.pid, &new) });
            }
            What::GoStepEnd { goid, step, failed, .. } => {
                let mut newest = self.work.iter_mut().rev().filter(|w| w.open && w.exact);
                let ended = newest.find(|w| (w.pid, w.goid, w.step) == (event.pid, *goid, *step));
                if let Some(work) = ended {
                    (work.open, work.failed, work.until) = (false, *failed, event.t);
                }
                self.forget_what_was_at_once(event.pid, event.t);
            }
            What::ProcessExit { .. } | What::ProcessGone => {
                let open = self.work.iter_mut().filter(|w| w.open && w.pid == event.pid);
                open.for_each(|w| (w.open, w.cut, w.until) = (false, true, event.t));
            }
            _ => {}
        }
    }

    /// As the locks themselves: one that was obtained at once is not kept. Nor is a look-up in the checksum database whose answer was
    /// there already: the zip and the go.mod of a version have the same.
    fn forget_what_was_at_once(&mut self, pid: Pid, t: Nanos) {
        let waited = |w: &Work| {
            let meanwhile = |end: Option<Nanos>| end.is_none_or(|end| end >= w.since);
            self.locks.iter().rev().any(|lock| lock.pid == pid && meanwhile(lock.ended))
        };
        let ended = |w: &&Work| w.exact && !w.open && (w.pid, w.step) == (pid, GoStep::Verify);
        let verified = self.work.iter().filter(ended);
        let newest = verified.clone().find(|w| w.until == t).map(|w| &w.module);
        let repeats = verified.filter(|w| Some(&w.module) == newest).count() > 1;
        self.work.retain(|w| {
            let just_ended = w.exact && !w.open && !w.failed && (w.pid, w.until) == (pid, t);
            match w.step {
                GoStep::Lock => !just_ended || waited(w),
                GoStep::Verify => !just_ended || w.until.since(w.since) >= AT_ONCE || !repeats,
                GoStep::Fetch | GoStep::Unzip => true,
            }
        });
    }

    fn works(&mut self, t: Nanos, pid: Pid, items: &[GoWork]) {
        for known in self.work.iter_mut().filter(|w| w.open && !w.exact && w.pid == pid) {
            let same = |item: &&GoWork| {
                (item.goid, &item.module, item.step) == (known.goid, &known.module, known.step)
            };
            match items.iter().find(same) {
                Some(_) => known.until = t,
                None => known.open = false,
            }
        }
        let known = |item: &&GoWork| {
            self.work.iter().any(|w| {
                w.open
                    && !w.exact
                    && w.pid == pid
                    && (w.goid, &w.module, w.step) == (item.goid, &item.module, item.step)
            })
        };
        let new: Vec<Work> = items
            .iter()
            .filter(|item| !known(item))
            .map(|item| Work::begun(t, pid, item))
            .collect();
        self.work.extend(new);
    }
}

impl Work {
    fn begun(t: Nanos, pid: Pid, item: &GoWork) -> Work {
        Work {
            pid,
            goid: item.goid,
            module: item.module.clone(),
            step: item.step,
            since: t,
            until: t,
            open: true,
            cut: false,
            failed: false,
            exact: false,
        }
    }
}
