//! # frozen: the cgroup freezer holds it
//!
//! The control group of the process is frozen: a paused container (`docker pause`), a suspended CI job.
//!
//! **Seen by** `frozen 1` in `cgroup.events`, or FROZEN in version 1's `freezer.state`.
//!
//! **What to do** Unfreeze the group, or unpause the container.

use super::draft::Draft;
use super::scene::Scene;
use crate::report::Finding;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let Some((_, snapshot)) = scene.session.snapshot.as_ref().filter(|_| scene.is_stall()) else {
        return Vec::new();
    };
    scene
        .living()
        .filter_map(|p| {
            let path = p.cgroup.as_deref()?;
            let group = snapshot.cgroups.iter().find(|g| g.frozen && g.path == path)?;
            let since = scene.session.movement.last_moved(p.pid);
            let summary = format!("{} is frozen with its control group.", scene.command(p.pid));
            Some(
                Draft::new(scene, "frozen", p.pid, since, summary)
                    .fact("group", [group.path.clone()])
                    .seen("the cgroup freezer says frozen", scene.now, "snapshot")
                    .limit("none: it runs when its group is thawed")
                    .remedy("docker unpause, or thaw the group it is in", None)
                    .done(),
            )
        })
        .collect()
}
