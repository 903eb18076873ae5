//! What no_new_privs changes: setuid programs, and those with file capabilities (ping, newuidmap), run below the command without those
//! rights (prctl(2)). Said once, when one is run.

use gmtrace::capture::clock::Clock;
use gmtrace_core::event::{Event, What};
use gmtrace_core::units::Pid;
use std::collections::HashSet;
use std::convert::Infallible;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// The set-user-ID and set-group-ID bits (inode(7)).
const SET_ID: u32 = 0o6000;

/// Where a program's capabilities are kept (capabilities(7), "File capabilities").
const CAPABILITIES: &str = "security.capability";

/// What the note about such a program says.
pub const FOUND: &str = "is setuid or setgid, or has file capabilities,";

/// Looks at every program that is run, on a thread of its own: a program may lie on a dead disk.
pub struct Privileges {
    programs: Sender<(Pid, String)>,
    over: Receiver<Infallible>,
}

impl Privileges {
    /// Starts the thread; what it finds comes as a note into `sink`.
    pub fn watch(clock: Clock, sink: Sender<Event>) -> Privileges {
        let (programs, receiver) = channel();
        let (looks, over) = channel();
        let spawned = std::thread::Builder::new().name("privileges".to_owned()).spawn(move || {
            let _until_it_ends: Sender<Infallible> = looks;
            look(&receiver, clock, &sink);
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread to look at programs: {error}");
        }
        Privileges { programs, over }
    }

    /// Waits until what was run has been looked at, or until `deadline`: a short command is over sooner.
    pub fn finish(self, deadline: Instant) {
        drop(self.programs);
        // Nothing is ever sent: the sender goes with the thread.
        _ = self.over.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// A program was run.
    pub fn ran(&self, pid: Pid, exe: &str) {
        let _gone = self.programs.send((pid, exe.to_owned()));
    }
}

fn look(programs: &Receiver<(Pid, String)>, clock: Clock, sink: &Sender<Event>) {
    let mut seen = HashSet::new();
    for (pid, exe) in programs {
        if !seen.insert(exe.clone()) || !gives_rights(pid, &exe) {
            continue;
        }
        let text = format!(
            "{exe} {FOUND} and runs without those rights: gmtrace had to set no_new_privs; run gmtrace itself by sudo"
        );
        let event = Event { t: clock.now(), pid, tid: pid.into(), what: What::Note { text } };
        if sink.send(event).is_err() {
            return;
        }
    }
}

/// In the view of the process, which may have another root.
fn gives_rights(pid: Pid, exe: &str) -> bool {
    let inside = format!("/proc/{pid}/root{exe}");
    let path = if std::fs::metadata(&inside).is_ok() { inside.as_str() } else { exe };
    let set_id = std::fs::metadata(path).is_ok_and(|m| m.mode() & SET_ID != 0);
    set_id || xattr::get(path, CAPABILITIES).is_ok_and(|value| value.is_some())
}
