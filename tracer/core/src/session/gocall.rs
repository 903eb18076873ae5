//! What the goroutines of Go programs did that went on for a while: told by probes on their functions, and exact.

use super::Session;
use crate::event::{Event, GoCalled, What};
use crate::units::{Nanos, Pid};

/// A call of a Go function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoCallMade {
    /// The program.
    pub pid: Pid,
    /// The goroutine.
    pub goid: u64,
    /// What it does.
    pub call: GoCalled,
    /// The host, the program, or the toolchain.
    pub about: String,
    /// When it began.
    pub since: Nanos,
    /// When it was over: the function returned, or the program ended or became another one.
    pub ended: Option<Nanos>,
    /// Whether it returned an error.
    pub failed: bool,
    /// Whether the program ended in the middle of it.
    pub cut: bool,
}

/// The calls, the oldest first.
#[derive(Debug, Default)]
pub struct GoCalls(pub(super) Vec<GoCallMade>);

impl GoCalls {
    /// All that are kept.
    pub fn iter(&self) -> impl Iterator<Item = &GoCallMade> {
        self.0.iter()
    }

    fn open(&mut self, pid: Pid) -> impl DoubleEndedIterator<Item = &mut GoCallMade> {
        self.0.iter_mut().filter(move |made| made.pid == pid && made.ended.is_none())
    }
}

impl Session {
    pub(super) fn apply_go_call(&mut self, event: &Event) {
        let (t, pid) = (event.t, event.pid);
        match &event.what {
            What::GoCallStart { goid, call, about } => self.go_calls.0.push(GoCallMade {
                pid,
                goid: *goid,
                call: *call,
                about: about.clone(),
                since: t,
                ended: None,
                failed: false,
                cut: false,
            }),
            What::GoCallEnd { goid, call, failed, .. } => {
                let mut newest = self.go_calls.open(pid).rev();
                if let Some(made) = newest.find(|made| (made.goid, made.call) == (*goid, *call)) {
                    (made.ended, made.failed) = (Some(t), *failed);
                }
            }
            // It becomes another program: its goroutines are gone, as they should.
            What::Exec(_) => self.go_calls.open(pid).for_each(|made| made.ended = Some(t)),
            What::ProcessExit { .. } | What::ProcessGone => {
                self.go_calls.open(pid).for_each(|made| (made.ended, made.cut) = (Some(t), true));
            }
            _ => {}
        }
    }
}
