//! # child-waiting: a child is blocked in a way no other code names
//!
//! go waits for a program it started, and that program sits in a system call that no rule explains: it waits for something of its
//! own.
//!
//! **Seen by** a living program below a go command without children of its own, asleep in a system call.
//!
//! **Limit** none: go waits for its children without end.
//!
//! **What to do** Look at that program: what is it for, and what does it wait for?

use super::draft::Draft;
use super::scene::Scene;
use super::sits;
use crate::event::{ProcessRole, ProcessState};
use crate::report::{Confidence, Finding};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    scene.living().filter(|p| waits(scene, p)).filter_map(|p| told(scene, p)).collect()
}

/// A leaf below a go command that is none itself, and sleeps.
fn waits(scene: &Scene<'_>, process: &ProcessState) -> bool {
    let session = scene.session;
    let telemetry = session.process(process.pid).is_some_and(|p| p.is_telemetry());
    let below_go =
        scene.go_above(process.pid).is_some_and(|go| scene.is_child_now(process.pid, go));
    process.in_tree
        && !telemetry
        && process.role != ProcessRole::Go
        && !matches!(process.state, 'T' | 't')
        && !sits::runs(process)
        && below_go
        && session.children(process.pid).is_empty()
}

fn told(scene: &Scene<'_>, process: &ProcessState) -> Option<Finding> {
    let sits = sits::of(process).filter(|sits| !sits.is_for_child())?;
    let pid = process.pid;
    let since = scene.session.movement.last_moved(scene.session.parent(pid)?);
    if scene.is_young(pid, since) {
        return None;
    }
    let words = sits.words(scene, process);
    let summary = format!("go waits for {}, which {words}.", scene.command(pid));
    Some(
        Draft::new(scene, "child-waiting", pid, since, summary)
            .confidence(Confidence::Possible)
            .blocked(Some(sits.tid), sits.call, sits.fd())
            .seen(
                format!("{pid} {words}, in {}{}", sits.call, sits.in_kernel()),
                scene.now,
                "snapshot",
            )
            .limit("none: go waits for its children without end")
            .or_else("it is only slow")
            .remedy("see what it does:", Some(format!("sudo strace -f -p {pid}")))
            .done(),
    )
}
