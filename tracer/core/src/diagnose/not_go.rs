//! # not-go: what hangs is not the go command
//!
//! There is no go command in what gmtrace watches, and what there is waits for something that no rule of go's explains. A "hanging go
//! step" is often the step before it: a cache that is restored, an archive that is unpacked, a script that asks a question.
//!
//! **Seen by** the programs of the tree, none of which is go, and the system call that the last of them sits in.
//!
//! **What to do** Look at that program.

use super::draft::Draft;
use super::scene::Scene;
use super::sits;
use crate::event::ProcessState;
use crate::report::{Confidence, Finding};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() || scene.living().any(|p| p.in_tree && scene.is_go(p.pid)) {
        return Vec::new();
    }
    let session = scene.session;
    let is_leaf = |p: &&ProcessState| p.in_tree && session.children(p.pid).is_empty();
    let rests = |p: &&ProcessState| !matches!(p.state, 'T' | 't') && !sits::runs(p);
    let mut leaves = scene.living().filter(is_leaf).filter(rests);
    leaves.find_map(|leaf| told(scene, leaf)).into_iter().collect()
}

fn told(scene: &Scene<'_>, process: &ProcessState) -> Option<Finding> {
    let sits = sits::of(process).filter(|sits| !sits.is_for_child())?;
    let pid = process.pid;
    let since = scene.still_since(pid);
    if scene.is_young(pid, since) {
        return None;
    }
    let words = sits.words(scene, process);
    let summary = format!("{} is no go command; it {words}.", scene.command(pid));
    Some(
        Draft::new(scene, "not-go", pid, since, summary)
            .confidence(match sits.is_open_ended() {
                // So does every server that has nothing to do.
                true => Confidence::Possible,
                false => Confidence::Likely,
            })
            .blocked(Some(sits.tid), sits.call, sits.fd())
            .seen(
                format!("{pid} {words}, in {}{}", sits.call, sits.in_kernel()),
                scene.now,
                "snapshot",
            )
            .remedy("see what it does:", Some(format!("sudo strace -f -p {pid}")))
            .done(),
    )
}
