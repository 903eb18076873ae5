//! Control groups, versions 1 and 2: frozen, throttled, out of memory (cgroups(7)).

use super::file;
use super::mounts::Mount;
use gmtrace_core::event::CgroupState;
use gmtrace_core::units::Pid;
use std::path::{Path, PathBuf};

/// How far up limits are looked for.
const MAX_DEPTH: usize = 32;

/// What limits a process: its path in each hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Membership {
    unified: Option<String>,
    freezer: Option<String>,
    cpu: Option<String>,
    memory: Option<String>,
}

impl Membership {
    /// Empty where it cannot be read.
    pub(super) fn read(pid: Pid) -> Membership {
        file::text(format!("/proc/{pid}/cgroup"), file::SMALL)
            .map_or_else(|_gone| Membership::default(), |text| Membership::parse(&text))
    }

    /// Lines of `hierarchy:controllers:path`; version 2 is `0::path`.
    fn parse(text: &str) -> Membership {
        let mut found = Membership::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                found.unified = Some(path.to_owned());
            }
            for controller in controllers.split(',') {
                match controller {
                    "freezer" => found.freezer = Some(path.to_owned()),
                    "cpu" => found.cpu = Some(path.to_owned()),
                    "memory" => found.memory = Some(path.to_owned()),
                    _ => {}
                }
            }
        }
        found
    }

    /// The path that stands for all: the first that is not the root.
    pub(super) fn path(&self) -> Option<String> {
        let paths =
            || [&self.unified, &self.cpu, &self.freezer, &self.memory].into_iter().flatten();
        paths().find(|path| *path != "/").or_else(|| paths().next()).cloned()
    }

    /// What the files of its groups say; none where no hierarchy is mounted.
    pub(super) fn state(&self, mounts: &[Mount]) -> Option<CgroupState> {
        let mut state = CgroupState { path: self.path()?, ..CgroupState::default() };
        let unified = Directory::find(mounts, None, self.unified.as_deref());
        let of = |controller, path: &Option<String>| {
            Directory::find(mounts, Some(controller), path.as_deref())
        };
        let version1 =
            [of("freezer", &self.freezer), of("cpu", &self.cpu), of("memory", &self.memory)];
        let [freezer, cpu, memory] = &version1;
        if unified.is_none() && version1.iter().all(Option::is_none) {
            return None;
        }
        if let Some(group) = &unified {
            state.frozen |=
                group.up().any(|level| level.says("cgroup.events", "frozen") == Some(1));
            state.oom_kills += group.says("memory.events", "oom_kill").unwrap_or(0);
            tightest(&mut state, group, quota_v2, throttled_v2);
        }
        if let Some(group) = freezer {
            let text = group.text("freezer.state").unwrap_or_default();
            state.frozen |= matches!(text.trim(), "FROZEN" | "FREEZING");
        }
        if let Some(group) = memory {
            state.oom_kills += group.says("memory.oom_control", "oom_kill").unwrap_or(0);
        }
        if let Some(group) = cpu {
            tightest(&mut state, group, quota_v1, throttled_v1);
        }
        Some(state)
    }
}

/// The lowest quota on the way up, and how often that one throttled: a container's limit lies above the group of the process.
fn tightest(
    state: &mut CgroupState,
    group: &Directory,
    quota: fn(&Directory) -> Option<f64>,
    throttled_ns: fn(&Directory) -> Option<u64>,
) {
    for level in group.up() {
        let Some(share) = quota(&level) else { continue };
        if state.cpu_quota.is_none_or(|lowest| share < lowest) {
            state.cpu_quota = Some(share);
            state.periods = level.says("cpu.stat", "nr_periods").unwrap_or(0);
            state.throttled_periods = level.says("cpu.stat", "nr_throttled").unwrap_or(0);
            state.throttled_ns = throttled_ns(&level).unwrap_or(0);
        }
    }
}

/// cpu.max: `max 100000` or `1000 100000`, in microseconds.
fn quota_v2(group: &Directory) -> Option<f64> {
    let text = group.text("cpu.max")?;
    let (quota, period) = text.trim().split_once(' ')?;
    share(quota.parse().ok()?, period.parse().ok()?)
}

/// cpu.cfs_quota_us is -1 without a limit.
fn quota_v1(group: &Directory) -> Option<f64> {
    let number = |name| group.text(name)?.trim().parse::<i64>().ok();
    share(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn share(quota: i64, period: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "quotas are far below 2^52 microseconds")]
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

fn throttled_v2(group: &Directory) -> Option<u64> {
    group.says("cpu.stat", "throttled_usec").map(|micros| micros.saturating_mul(1000))
}

fn throttled_v1(group: &Directory) -> Option<u64> {
    group.says("cpu.stat", "throttled_time")
}

/// A group's directory below its hierarchy's mount point.
struct Directory {
    mount: PathBuf,
    path: PathBuf,
}

impl Directory {
    /// The group `path` of the version 1 hierarchy with `controller`, or of version 2.
    fn find(mounts: &[Mount], controller: Option<&str>, path: Option<&str>) -> Option<Directory> {
        let path = path?;
        let mount = mounts.iter().find(|mount| match controller {
            None => mount.kind == "cgroup2",
            Some(controller) => {
                mount.kind == "cgroup" && mount.options.split(',').any(|word| word == controller)
            }
        })?;
        // In a cgroup namespace a group outside of it is `/../..` (cgroup_namespaces(7)): not to be seen.
        if path.split('/').any(|part| part == "..") {
            return None;
        }
        let below = Path::new(path).strip_prefix(&mount.root).ok()?;
        let mount = PathBuf::from(&mount.point);
        Some(Directory { path: mount.join(below), mount })
    }

    /// This group and those above it that can be seen.
    fn up(&self) -> impl Iterator<Item = Directory> {
        let levels = self.path.ancestors().take(MAX_DEPTH);
        let seen = levels.take_while(|level| level.starts_with(&self.mount));
        seen.map(|level| Directory { mount: self.mount.clone(), path: level.to_owned() })
    }

    fn text(&self, name: &str) -> Option<String> {
        file::text(self.path.join(name), file::SMALL).ok()
    }

    fn says(&self, name: &str, key: &str) -> Option<u64> {
        file::keyed(&self.text(name)?, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn mount(point: &Path, root: &str, kind: &str, options: &str) -> Mount {
        Mount {
            id: 1,
            device: (0, 1),
            root: root.to_owned(),
            point: point.to_string_lossy().into_owned(),
            kind: kind.to_owned(),
            options: options.to_owned(),
        }
    }

    fn write(directory: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(directory).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
    }

    #[test]
    fn version_2_limits_lie_anywhere_above() {
        let base = tempfile::tempdir().unwrap();
        write(
            &base.path().join("box/inner"),
            &[("cpu.max", "max 100000\n"), ("memory.events", "oom 2\noom_kill 1\n")],
        );
        write(
            &base.path().join("box"),
            &[
                ("cpu.max", "1000 100000\n"),
                ("cpu.stat", "nr_periods 9\nnr_throttled 7\nthrottled_usec 5\n"),
                ("cgroup.events", "populated 1\nfrozen 1\n"),
            ],
        );
        let mounts = [mount(base.path(), "/outer", "cgroup2", "rw")];
        let state = Membership::parse("0::/outer/box/inner\n").state(&mounts).unwrap();
        assert!(state.frozen);
        assert_eq!((state.cpu_quota, state.oom_kills), (Some(0.01), 1));
        assert_eq!((state.periods, state.throttled_periods, state.throttled_ns), (9, 7, 5000));
        assert_eq!(state.path, "/outer/box/inner");
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each_controller() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        write(&at("freezer/a"), &[("freezer.state", "FROZEN\n")]);
        write(
            &at("cpu/b"),
            &[
                ("cpu.cfs_quota_us", "50000\n"),
                ("cpu.cfs_period_us", "100000\n"),
                ("cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 77\n"),
            ],
        );
        write(&at("cpu"), &[("cpu.cfs_quota_us", "-1\n"), ("cpu.cfs_period_us", "100000\n")]);
        write(&at("memory/c"), &[("memory.oom_control", "oom_kill_disable 0\noom_kill 4\n")]);
        let mounts = [
            mount(&at("freezer"), "/", "cgroup", "rw,freezer"),
            mount(&at("cpu"), "/", "cgroup", "rw,cpu,cpuacct"),
            mount(&at("memory"), "/", "cgroup", "rw,memory"),
        ];
        let text = "4:freezer:/a\n3:memory:/c\n2:cpu,cpuacct:/b\n1:name=systemd:/\n0::/\n";
        let state = Membership::parse(text).state(&mounts).unwrap();
        assert!(state.frozen);
        assert_eq!((state.cpu_quota, state.throttled_ns, state.oom_kills), (Some(0.5), 77, 4));
        assert_eq!(state.path, "/b");
    }

    #[test]
    fn garbage_and_groups_out_of_sight_are_nothing() {
        let base = tempfile::tempdir().unwrap();
        write(
            base.path(),
            &[("cpu.max", "x y z"), ("cpu.stat", "\n\n"), ("cgroup.events", "frozen")],
        );
        let mounts = [mount(base.path(), "/", "cgroup2", "rw")];
        let state = Membership::parse("0::/\n:\nx\n").state(&mounts).unwrap();
        assert_eq!(state, CgroupState { path: "/".to_owned(), ..CgroupState::default() });
        assert_eq!(Membership::parse("0::/../../etc\n").state(&mounts), None);
        assert_eq!(Membership::parse("").state(&mounts), None);
    }
}
