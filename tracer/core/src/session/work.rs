//! How long each module was worked on: from readings of goroutines, and so no finer than those.

use super::Session;
use crate::event::{Event, GoStep, GoWork, What, work};
use crate::units::{Nanos, Pid};

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
            What::ProcessExit { .. } | What::ProcessGone => {
                let open = self.work.iter_mut().filter(|w| w.open && w.pid == event.pid);
                open.for_each(|w| (w.open, w.cut, w.until) = (false, true, event.t));
            }
            _ => {}
        }
    }

    fn works(&mut self, t: Nanos, pid: Pid, items: &[GoWork]) {
        for known in self.work.iter_mut().filter(|w| w.open && w.pid == pid) {
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
                    && w.pid == pid
                    && (w.goid, &w.module, w.step) == (item.goid, &item.module, item.step)
            })
        };
        let new: Vec<Work> = items
            .iter()
            .filter(|item| !known(item))
            .map(|item| Work {
                pid,
                goid: item.goid,
                module: item.module.clone(),
                step: item.step,
                since: t,
                until: t,
                open: true,
                cut: false,
            })
            .collect();
        self.work.extend(new);
    }
}
