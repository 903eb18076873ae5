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
    let below_go = session.parent(process.pid).is_some_and(|p| scene.is_go(p));
    let telemetry = session.process(process.pid).is_some_and(|p| p.is_telemetry());
    process.in_tree
        && !telemetry
        && process.role != ProcessRole::Go
        && !matches!(process.state, 'R' | 'T' | 't')
        && below_go
        && session.children(process.pid).is_empty()
}

fn told(scene: &Scene<'_>, process: &ProcessState) -> Option<Finding> {
    let thread = process.threads.iter().find(|t| t.syscall.is_some())?;
    let call = &thread.syscall.as_ref()?.name;
    let pid = process.pid;
    let since = scene.session.movement.last_moved(scene.session.parent(pid)?);
    if scene.is_young(pid, since) {
        return None;
    }
    let summary = format!("go waits for {}, which sits in {call}.", scene.command(pid));
    let wchan = thread.wchan.as_ref().map(|w| format!(" (kernel: {w})")).unwrap_or_default();
    Some(
        Draft::new(scene, "child-waiting", pid, since, summary)
            .confidence(Confidence::Possible)
            .blocked(Some(thread.tid), call, None)
            .seen(format!("{pid} sleeps in {call}{wchan}"), scene.now, "snapshot")
            .limit("none: go waits for its children without end")
            .or_else("it is only slow")
            .remedy("see what it does:", Some(format!("sudo strace -f -p {pid}")))
            .done(),
    )
}
