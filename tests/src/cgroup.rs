//! Control groups, of whichever version this machine has (cgroups(7)).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;

use crate::processes::await_that;

/// A limit that a group can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Processes can be held still.
    Freezer,
    /// A share of a CPU.
    Cpu,
    /// An amount of memory.
    Memory,
}

/// A group of its own for a scenario. Its processes go back to where the test runs, and it is removed, when it is dropped.
#[derive(Debug)]
pub struct Group {
    directory: PathBuf,
    version: u8,
}

impl Group {
    /// A group with this controller; none, after a sentence on standard error, where the kernel, or whoever set up this machine,
    /// offers no such controller to this user.
    ///
    /// # Errors
    /// When the tables of mounts cannot be read.
    pub fn with(controller: Controller) -> Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("gmtrace-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        for (hierarchy, version) in hierarchies(controller)? {
            let group = Self { directory: hierarchy.join(&name), version };
            let usable = fs::create_dir(&group.directory).is_ok();
            if usable && group.directory.join(group.file(controller)).exists() {
                return Ok(Some(group));
            }
        }
        eprintln!(
            "skipped: there is no control group with {controller:?} here that this user may make"
        );
        Ok(None)
    }

    /// The file to which a process writes its id to join.
    pub fn procs(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }

    /// Takes a process in, with all its threads.
    ///
    /// # Errors
    /// As write(2).
    pub fn take(&self, pid: Pid) -> Result<()> {
        fs::write(self.procs(), pid.to_string()).with_context(|| format!("{pid} into {self:?}"))
    }

    /// Freezes all in it, and waits until they are.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn freeze(&self) -> Result<()> {
        match self.version {
            1 => self.write("freezer.state", "FROZEN")?,
            _ => self.write("cgroup.freeze", "1")?,
        }
        await_that("all are frozen", || self.is_frozen().then_some(()))
    }

    /// Lets them run.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn thaw(&self) -> Result<()> {
        match self.version {
            1 => self.write("freezer.state", "THAWED"),
            _ => self.write("cgroup.freeze", "0"),
        }
    }

    /// Whether the kernel says that all in it are frozen.
    pub fn is_frozen(&self) -> bool {
        let says = |name: &str, what: &str| {
            fs::read_to_string(self.directory.join(name)).is_ok_and(|text| text.contains(what))
        };
        says("freezer.state", "FROZEN") || says("cgroup.events", "frozen 1")
    }

    /// Allows this share of one CPU, in percent.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cpu_percent(&self, percent: u32) -> Result<()> {
        let micros = percent * 1000;
        match self.version {
            1 => self.write("cpu.cfs_period_us", "100000")?,
            _ => return self.write("cpu.max", &format!("{micros} 100000")),
        }
        self.write("cpu.cfs_quota_us", &micros.to_string())
    }

    /// Takes the limit on CPU away.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cpu_unlimited(&self) -> Result<()> {
        match self.version {
            1 => self.write("cpu.cfs_quota_us", "-1"),
            _ => self.write("cpu.max", "max 100000"),
        }
    }

    /// Waits until the quota has been used up this many times.
    ///
    /// # Errors
    /// When it is not.
    pub fn wait_for_throttling(&self, times: u64) -> Result<()> {
        await_that("throttled", || {
            (self.number("cpu.stat", "nr_throttled")? >= times).then_some(())
        })
    }

    /// Allows this much memory.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn memory(&self, bytes: u64) -> Result<()> {
        match self.version {
            1 => self.write("memory.limit_in_bytes", &bytes.to_string()),
            _ => self.write("memory.max", &bytes.to_string()),
        }
    }

    /// How often the out-of-memory killer has struck in it.
    pub fn oom_kills(&self) -> u64 {
        let file = if self.version == 1 { "memory.oom_control" } else { "memory.events" };
        self.number(file, "oom_kill").unwrap_or(0)
    }

    fn file(&self, controller: Controller) -> &'static str {
        match (self.version, controller) {
            (1, Controller::Freezer) => "freezer.state",
            (_, Controller::Freezer) => "cgroup.freeze",
            (1, Controller::Cpu) => "cpu.cfs_quota_us",
            (_, Controller::Cpu) => "cpu.max",
            (1, Controller::Memory) => "memory.limit_in_bytes",
            (_, Controller::Memory) => "memory.max",
        }
    }

    fn number(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.directory.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    }

    fn write(&self, name: &str, value: &str) -> Result<()> {
        fs::write(self.directory.join(name), value)
            .with_context(|| format!("{value} into {name} of {self:?}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.thaw();
        let above = self.directory.parent().map(|parent| parent.join("cgroup.procs"));
        let inside = fs::read_to_string(self.procs()).unwrap_or_default();
        for pid in inside.lines() {
            // One that ends meanwhile need not be moved.
            let _ = above.as_ref().map(|procs| fs::write(procs, pid));
        }
        // A zombie keeps its group until it is reaped.
        let _ = await_that("the group is empty", || fs::remove_dir(&self.directory).ok());
    }
}

/// The groups of this process below which one with the controller may be made, each with the version of its hierarchy.
fn hierarchies(controller: Controller) -> Result<Vec<(PathBuf, u8)>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let name = match controller {
        Controller::Freezer => "freezer",
        Controller::Cpu => "cpu",
        Controller::Memory => "memory",
    };
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { bail!("mountinfo: {line}") };
        let point = Path::new(mount.split(' ').nth(4).context("a mount without a place")?);
        let mut words = filesystem.split(' ');
        match words.next() {
            Some("cgroup")
                if words.nth(1).is_some_and(|o| o.split(',').any(|word| word == name)) =>
            {
                found.push((point.to_owned(), 1));
            }
            Some("cgroup2") => found.push((point.to_owned(), 2)),
            _ => {}
        }
    }
    Ok(found)
}
