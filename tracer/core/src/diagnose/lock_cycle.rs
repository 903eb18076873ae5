//! # lock-cycle: processes wait for each other's locks
//!
//! Each holds a lock that the other one needs, and both wait: neither will ever go on. One of them may also hold the lock while it
//! waits for the end of the other one, or for its answer. The go command takes its locks in an order that
//! cannot do this by itself; a program around it that locks the same files can.
//!
//! **Seen by** the kernel's lock table and the open files of each process, followed until a process comes up for the second time.
//!
//! **Limit** none: flock(2) does not look for deadlocks.
//!
//! **What to do** End one of them; the other then goes on.

use super::scene::Scene;
use crate::report::{Evidence, Finding, Remedy};
use crate::units::Pid;

/// Cycles come to light where the chain is followed.
pub(super) fn examine(_: &Scene<'_>) -> Vec<Finding> {
    Vec::new()
}

/// `path` leads from the first to the one whose `finding` waits for `back`, an earlier one.
pub(super) fn closed(scene: &Scene<'_>, finding: &Finding, back: Pid, path: &[Pid]) -> Finding {
    let mut cycle = finding.clone();
    cycle.code = "lock-cycle".to_owned();
    let (one, other) = (scene.command(back), scene.command(finding.blocked.pid));
    let locks = if path.len() == 2 && path.contains(&back) { "'s locks" } else { "" };
    cycle.summary = format!("{one} and {other} wait for each other{locks}.");
    let names: Vec<String> = path.iter().map(|pid| scene.command(*pid)).collect();
    cycle.evidence.push(Evidence {
        text: format!("{} > {one}", names.join(" > ")),
        t: scene.now,
        source: "snapshot".to_owned(),
    });
    cycle
}

/// `pids` are those of the cycle outside of the watched command.
pub(super) fn remedies(pids: &[Pid]) -> Vec<Remedy> {
    let pids: Vec<String> = pids.iter().map(Pid::to_string).collect();
    let end = Remedy {
        text: "neither will go on; end one of them:".to_owned(),
        command: (!pids.is_empty()).then(|| format!("kill {}", pids.join(" "))),
        safe: true,
    };
    vec![end]
}
