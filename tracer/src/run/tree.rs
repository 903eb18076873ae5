//! The command and what runs below it, when it is to be ended.

use gmtrace::bounded::run_bounded;
use gmtrace::capture::proc::Proc;
use gmtrace::launch::{Command, Held};
use gmtrace_core::units::Pid;
use std::collections::HashSet;
use std::time::Duration;

/// How long `/proc` may take to say who is there.
const BOUND: Duration = Duration::from_secs(1);

/// Sends `signal` to the command, then to what runs below it: all of its descendants in `/proc`, and those in `known`, which may
/// have lost their parent. Whoever is in `spared` gets none. Whether the command was there to be signalled.
///
/// SIGCONT follows, as timeout(1) does it: what is stopped would not act on the signal.
pub fn signal(command: &Command, known: Vec<Pid>, spared: &HashSet<Pid>, signal: i32) -> bool {
    // Before the command gets it: children of a process that has ended are nobody's.
    let below = below(command.pid(), known);
    let sent = command.kill(signal).is_ok();
    let below: Vec<Held> = below.into_iter().filter(|p| !spared.contains(&p.pid)).collect();
    for process in &below {
        let _ended = process.kill(signal);
    }
    if !matches!(signal, libc::SIGKILL | libc::SIGCONT) {
        let _ended = command.kill(libc::SIGCONT);
        for process in &below {
            let _ended = process.kill(libc::SIGCONT);
        }
    }
    sent
}

/// Looked up, taken hold of, and looked up again: what belongs to the tree then is what is held.
fn below(root: Pid, known: Vec<Pid>) -> Vec<Held> {
    let look = move || {
        let proc = Proc::new();
        let tree = proc.tree(root, &known);
        let mut held: Vec<Held> = tree
            .into_iter()
            .filter(|pid| *pid != root)
            .filter_map(|pid| Held::open(pid).ok())
            .collect();
        let still: HashSet<Pid> = proc.tree(root, &known).into_iter().collect();
        held.retain(|process| still.contains(&process.pid));
        held
    };
    run_bounded(BOUND, look).unwrap_or_default()
}
