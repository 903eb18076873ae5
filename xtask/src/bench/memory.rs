//! How much memory a tool takes, apart from the command it watches.
//!
//! wait4's ru_maxrss does not tell: it is the largest of the process and all it waited for, so the
//! command's. VmHWM in /proc/PID/status (proc(5)) is one process's peak and only grows, so reading
//! it again and again until the process ends gives the peak.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::workspace::find_program;

/// How often VmHWM is read.
const INTERVAL: Duration = Duration::from_millis(2);

/// Watches `child` until it ends: the sum of the peaks of the processes that are `tool`, in bytes;
/// `None` when it was over before a reading.
pub(super) fn peak(child: &mut Child, tool: &Path) -> Result<Option<u64>> {
    let name = tool.to_str().context("the tool's path is not UTF-8")?;
    let tool = find_program(name).unwrap_or_else(|| tool.to_path_buf()).canonicalize()?;
    let mut peaks = BTreeMap::new();
    while child.try_wait()?.is_none() {
        for pid in with_descendants(child.id()) {
            note(&mut peaks, pid, &tool);
        }
        thread::sleep(INTERVAL);
    }
    Ok(peaks.values().copied().flatten().reduce(|sum, peak| sum + peak))
}

/// Notes the peak of `pid`, or `None` once it has become another program: then it was only on its
/// way from the tool to the command.
fn note(peaks: &mut BTreeMap<u32, Option<u64>>, pid: u32, tool: &Path) {
    let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { return };
    if program != tool {
        peaks.insert(pid, None);
    } else if let Some(peak) = high_water(pid) {
        peaks.insert(pid, Some(peak));
    }
}

fn high_water(pid: u32) -> Option<u64> {
    parse_high_water(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// `VmHWM:      1234 kB`, in bytes.
fn parse_high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The process below `pid` that has this name and sleeps.
pub(super) fn asleep_below(pid: u32, name: &str) -> Option<u32> {
    let is_it = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains(&format!(" ({name}) S "))
    };
    with_descendants(pid).into_iter().find(is_it)
}

fn with_descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let more = children(*pid);
        found.extend(more);
        next += 1;
    }
    found
}

/// The children of all threads of a process; none when it is gone.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_peak_from_status() {
        let status = "Name:\tcat\nVmPeak:\t  9000 kB\nVmHWM:\t   1512 kB\nVmRSS:\t 100 kB\n";
        assert_eq!(parse_high_water(status), Some(1512 * 1024));
        assert_eq!(parse_high_water("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_process_that_became_another_program_does_not_count() {
        let itself = std::process::id();
        let program = fs::read_link("/proc/self/exe").unwrap();
        let mut peaks = BTreeMap::new();
        note(&mut peaks, itself, &program);
        assert!(peaks.values().flatten().sum::<u64>() > 0);
        note(&mut peaks, itself, Path::new("/other"));
        assert_eq!(peaks.values().flatten().sum::<u64>(), 0);
    }
}
