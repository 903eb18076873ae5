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
                let it = |w: &Work| (w.pid, w.goid, w.step) == (event.pid, *goid, *step);
                let ended = self.work.iter().rposition(|w| w.open && w.exact && it(w));
                if let Some(ended) = ended {
                    self.ends(ended, event.t, *failed);
                }
            }
            What::ProcessExit { .. } | What::ProcessGone => {
                let open = self.work.iter_mut().filter(|w| w.open && w.pid == event.pid);
                open.for_each(|w| (w.open, w.cut, w.until) = (false, true, event.t));
            }
            _ => {}
        }
    }

    fn ends(&mut self, n: usize, t: Nanos, failed: bool) {
        let Some(work) = self.work.get_mut(n) else { return };
        (work.open, work.failed, work.until) = (false, failed, t);
        if self.work.get(n).is_some_and(|work| self.was_at_once(work)) {
            self.work.remove(n);
        }
    }

    /// As the locks themselves: one that was obtained at once is not kept. Nor is a look-up in the checksum database whose answer was
    /// there already: the zip and the go.mod of a version have the same.
    fn was_at_once(&self, work: &Work) -> bool {
        match work.step {
            _ if work.failed => false,
            GoStep::Lock => {
                let meanwhile = |end: Option<Nanos>| end.is_none_or(|end| end >= work.since);
                let mut locks = self.locks.iter().rev().filter(|lock| lock.pid == work.pid);
                !locks.any(|lock| meanwhile(lock.ended))
            }
            GoStep::Verify => {
                let same = |w: &&Work| {
                    (w.pid, w.step, &w.module) == (work.pid, work.step, &work.module)
                        && w.exact
                        && !w.open
                };
                let quick = work.until.since(work.since) < AT_ONCE;
                quick && self.work.iter().filter(same).count() > 1
            }
            GoStep::Fetch | GoStep::Unzip => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Backend, Header, HeaderTag, Host, Mode, RECORDING_SCHEMA};

    const GO: Pid = Pid(100);

    struct Run(Session);

    impl Run {
        fn new() -> Run {
            Run(Session::new(Header {
                r#type: HeaderTag::Header,
                schema: RECORDING_SCHEMA.into(),
                gmtrace: "0.1.0".into(),
                mode: Mode::Launch,
                argv: vec!["go".into()],
                cwd: "/m".into(),
                pid: GO,
                started_at: String::new(),
                host: Host::default(),
                backend: Backend::default(),
                stall_after_ns: Nanos::from_secs(5),
            }))
        }

        /// A step by goroutine `goid` that begins then and lasts so long, in microseconds.
        fn step(&mut self, (goid, step): (u64, GoStep), t: u64, lasts: u64, failed: bool) {
            let module = || "example.com/lib@v1.0.0".to_owned();
            let mut at = |t, what| {
                let t = Nanos(1000 * t);
                self.0.apply(&Event { t, pid: GO, tid: GO.into(), what });
            };
            at(t, What::GoStepStart { goid, step, module: module() });
            at(t + lasts, What::GoStepEnd { goid, step, module: module(), failed });
        }

        fn kept(&self) -> Vec<u64> {
            self.0.work.iter().map(|w| w.goid).collect()
        }
    }

    #[test]
    fn a_sum_that_is_known_by_then_is_not_looked_up_again() {
        let mut run = Run::new();
        run.step((1, GoStep::Verify), 0, 100, false);
        run.step((2, GoStep::Verify), 1000, 100, false);
        run.step((3, GoStep::Verify), 2000, 5000, false);
        run.step((4, GoStep::Verify), 9000, 100, true);
        assert_eq!(run.kept(), [1, 3, 4], "the first, one that took its time, and one that failed");
    }

    #[test]
    fn a_lock_obtained_at_once_is_not_kept_and_a_fetch_is() {
        let mut run = Run::new();
        run.step((1, GoStep::Lock), 0, 100, false);
        run.step((2, GoStep::Fetch), 1000, 100, false);
        run.step((3, GoStep::Lock), 2000, 100, true);
        assert_eq!(run.kept(), [2, 3]);
    }
}
