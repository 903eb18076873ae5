//! # child-waiting: a child is blocked in a way no other code names
//!
//! go waits for a program it started, and that program sits in a system call that no rule explains: it waits for something of its
//! own. A Go program that has a goroutine in time.Sleep is given half a minute: a test that sleeps works.
//!
//! **Seen by** a living program below a go command without children of its own, asleep in a system call.
//!
//! **Limit** none: go waits for its children without end.
//!
//! **What to do** Look at that program: what is it for, and what does it wait for?

use super::draft::Draft;
use super::scene::Scene;
use super::sits;
use crate::event::{Goroutine, ProcessRole, ProcessState};
use crate::report::{Confidence, Finding};
use crate::session::OLD_WAIT;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    let waiting = scene.living().filter(|p| waits(scene, p) && !sleeps_for_now(scene, p));
    waiting.filter_map(|p| told(scene, p)).collect()
}

/// Whether a child has set itself a timer, and not much time has passed since.
pub(super) fn sets_a_timer(scene: &Scene<'_>) -> bool {
    scene.living().any(|p| waits(scene, p) && sleeps_for_now(scene, p))
}

fn sleeps_for_now(scene: &Scene<'_>, process: &ProcessState) -> bool {
    let above = scene.session.parent(process.pid);
    let moved = above.map(|pid| scene.session.movement.last_moved(pid));
    sleeper(process).is_some() && moved.is_some_and(|t| scene.now.since(t) < OLD_WAIT)
}

/// The goroutine that sleeps until its time has come (runtime.waitReasonSleep).
fn sleeper(process: &ProcessState) -> Option<&Goroutine> {
    let go = process.go.as_ref()?;
    go.goroutines.iter().find(|g| !g.system && g.wait_reason.as_deref() == Some("sleep"))
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
    let words = match sleeper(process) {
        Some(_) => "sleeps for a set time".to_owned(),
        None => sits.words(scene, process),
    };
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
