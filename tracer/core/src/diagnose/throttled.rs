//! # throttled: its CPU quota is used up
//!
//! The control group may use only a small share of a CPU, and has used it up in nearly every period.
//!
//! **Seen by** `cpu.max` (or `cpu.cfs_quota_us`), and `nr_throttled` of `cpu.stat` growing with `nr_periods`.
//!
//! **What to do** Give the container or job more CPU (`docker run --cpus`, `resources.limits.cpu`).

use super::draft::Draft;
use super::scene::Scene;
use crate::event::CgroupState;
use crate::report::{Confidence, Finding};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let Some((_, snapshot)) = scene.session.snapshot.as_ref().filter(|_| scene.is_stall()) else {
        return Vec::new();
    };
    scene
        .living()
        .filter_map(|p| {
            let path = p.cgroup.as_deref()?;
            let group = snapshot.cgroups.iter().find(|g| g.path == path)?;
            holds_down(group, before(scene, path)).then_some(())?;
            let quota = group.cpu_quota?;
            let since = scene.session.movement.last_moved(p.pid);
            let percent = format!("{:.0} %", quota * 100.0);
            let summary = format!("{} may use only {percent} of a CPU.", scene.command(p.pid));
            let seen = format!(
                "throttled in {} of {} periods, quota {percent} of one CPU",
                group.throttled_periods, group.periods
            );
            Some(
                Draft::new(scene, "throttled", p.pid, since, summary)
                    .confidence(Confidence::Certain)
                    .fact("group", [group.path.clone()])
                    .seen(seen, scene.now, "snapshot")
                    .limit("none: it goes on as slowly as this")
                    .remedy("give the container or job more CPU (docker: --cpus)", None)
                    .done(),
            )
        })
        .collect()
}

/// The same group in the snapshot before.
fn before<'a>(scene: &Scene<'a>, path: &str) -> Option<&'a CgroupState> {
    let (_, groups) = scene.session.before.as_ref()?;
    groups.iter().find(|g| g.path == path)
}

/// A tight quota, exhausted in at least half of all periods since the snapshot before: what was used up long ago holds nobody
/// down now. Without one before it only a quota that hardly lets anything run counts.
fn holds_down(group: &CgroupState, before: Option<&CgroupState>) -> bool {
    let (tight, periods, throttled) = match before {
        Some(old) => (
            0.5,
            group.periods.saturating_sub(old.periods),
            group.throttled_periods.saturating_sub(old.throttled_periods),
        ),
        None if group.throttled_periods >= 5 => (0.05, group.periods, group.throttled_periods),
        None => return false,
    };
    let quota = group.cpu_quota.is_some_and(|quota| quota < tight || quota <= 0.05);
    quota && throttled > 0 && throttled * 2 >= periods
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(cpu_quota: f64, periods: u64, throttled_periods: u64) -> CgroupState {
        CgroupState {
            cpu_quota: Some(cpu_quota),
            periods,
            throttled_periods,
            ..CgroupState::default()
        }
    }

    #[test]
    fn only_what_grew_holds_down() {
        let old = group(0.2, 100, 90);
        assert!(holds_down(&group(0.2, 120, 105), Some(&old)));
        assert!(!holds_down(&group(0.2, 120, 92), Some(&old)));
        assert!(!holds_down(&group(0.2, 100, 90), Some(&old)));
        assert!(!holds_down(&group(0.2, 100, 90), None));
        assert!(holds_down(&group(0.01, 100, 90), None));
    }
}
