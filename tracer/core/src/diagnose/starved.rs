//! # starved: no CPU to run on
//!
//! The process wants to run and does not get a CPU: others with a higher priority, or very many of them, have them all. It waits for
//! nothing.
//!
//! **Seen by** a thread that is runnable (state R), while its process used next to no CPU time.
//!
//! **Limit** none: it runs when the others let it.
//!
//! **What to do** See who has the CPUs (`top`), and end or `renice` them; or give this command a better priority.

use super::draft::Draft;
use super::scene::Scene;
use crate::event::{ProcessState, Snapshot, ThreadState};
use crate::report::{Confidence, Finding};
use crate::session::CPU_SHARE_THAT_MOVES;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let Some((_, snapshot)) = scene.session.snapshot.as_ref().filter(|_| scene.is_stall()) else {
        return Vec::new();
    };
    scene.living().filter(|p| p.in_tree).filter_map(|p| told(scene, snapshot, p)).collect()
}

fn told(scene: &Scene<'_>, snapshot: &Snapshot, process: &ProcessState) -> Option<Finding> {
    let thread = process.threads.iter().find(|t| t.state == 'R' && t.syscall.is_none())?;
    let pid = process.pid;
    let (wanting, cpus) = (snapshot.runnable?, scene.session.header.host.cpus);
    let since = scene.still_since(pid);
    // One that is seen as it runs for a moment uses its CPU; and a quota has a rule of its own.
    let quota =
        snapshot.cgroups.iter().any(|g| g.cpu_quota.is_some_and(|q| q < CPU_SHARE_THAT_MOVES));
    if scene.is_young(pid, since) || quota || wanting <= cpus {
        return None;
    }
    let sure = match starved_before(scene, thread) {
        Some(true) => Confidence::Certain,
        Some(false) => return None,
        None => Confidence::Possible,
    };
    let summary = format!("{} wants to run and gets no CPU.", scene.command(pid));
    Some(
        Draft::new(scene, "starved", pid, since, summary)
            .confidence(sure)
            .blocked(Some(thread.tid), "", None)
            .seen(
                format!("thread {} is runnable and used no CPU; {wanting} threads want one of {cpus} CPUs", thread.tid),
                scene.now,
                "snapshot",
            )
            .limit("none: it runs when the others let it")
            .remedy("see who has the CPUs:", Some("top -b -n 1 | head -20".to_owned()))
            .done(),
    )
}

/// Whether the same thread was runnable a second ago as well, and used next to nothing in between; none where it was not seen so before.
fn starved_before(scene: &Scene<'_>, thread: &ThreadState) -> Option<bool> {
    let (before, runnable) = &scene.session.runnable_before;
    let (now, _) = scene.session.snapshot.as_ref()?;
    let used = thread.cpu_ns?;
    if before.0 == 0 {
        return None;
    }
    let then = *runnable.get(&thread.tid)?;
    let share = used.saturating_sub(then) as f64 / now.since(*before).0.max(1) as f64;
    Some(share < CPU_SHARE_THAT_MOVES)
}
