//! Who a process is, before it is looked into.

use super::file;
use super::stat::Stat;
use gmtrace_core::units::Pid;
use std::io;

/// What tells a process that can be looked into from one that cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The process; of a thread, the one it belongs to.
    pub pid: Pid,
    /// Its id in its own pid namespace, where that differs.
    pub inner: Option<Pid>,
    /// Its parent.
    pub parent: Pid,
    /// What it calls itself.
    pub name: String,
    /// The file name of its program; its own name where that may not be read.
    pub program: String,
    /// Whether it is a zombie.
    pub has_ended: bool,
    /// Whether it is a thread of the kernel.
    pub is_kernel_thread: bool,
    /// Real, effective and saved user.
    pub users: [u32; 3],
    /// Real, effective and saved group.
    pub groups: [u32; 3],
    /// Permitted capabilities.
    pub capabilities: u64,
}

impl Identity {
    /// # Errors
    /// Those of reading `/proc/PID/stat` and `/proc/PID/status`.
    pub fn read(pid: Pid) -> io::Result<Identity> {
        let status = file::text(format!("/proc/{pid}/status"), file::SMALL)?;
        let leader = field(&status, "Tgid:").and_then(|words| words.parse().ok()).map_or(pid, Pid);
        let stat = Stat::read(format!("/proc/{leader}"))?;
        let inner = field(&status, "NSpid:").and_then(|ids| {
            let innermost = ids.split_ascii_whitespace().skip(1).last()?;
            innermost.parse().ok().map(Pid)
        });
        let exe = file::link(format!("/proc/{leader}/exe")).ok();
        Ok(Identity {
            pid: leader,
            inner,
            parent: stat.ppid,
            program: exe.as_deref().map_or(stat.comm.as_str(), file_name).to_owned(),
            name: stat.comm,
            has_ended: matches!(stat.state, 'Z' | 'X'),
            is_kernel_thread: is_kernel_thread(&status, leader),
            users: three(field(&status, "Uid:")),
            groups: three(field(&status, "Gid:")),
            capabilities: field(&status, "CapPrm:")
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                .unwrap_or(0),
        })
    }
}

/// Since Linux 6.8 `status` says so; before, a thread of the kernel is one without an address space, whose `status` has no
/// `VmSize:`, and that is no zombie.
fn is_kernel_thread(status: &str, pid: Pid) -> bool {
    match field(status, "Kthread:") {
        Some(said) => said == "1",
        None => field(status, "VmSize:").is_none() && pid.0 > 1 && !status.contains("State:\tZ"),
    }
}

fn field<'t>(status: &'t str, key: &str) -> Option<&'t str> {
    status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

fn three(ids: Option<&str>) -> [u32; 3] {
    let mut found = [u32::MAX; 3];
    let words = ids.unwrap_or_default().split_ascii_whitespace();
    for (id, word) in found.iter_mut().zip(words) {
        *id = word.parse().unwrap_or(u32::MAX);
    }
    found
}

fn file_name(exe: &str) -> &str {
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    exe.rsplit('/').next().unwrap_or(exe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_status() {
        let status = "Name:\tgo\nState:\tS (sleeping)\nUid:\t1\t2\t3\t4\nVmSize:\t  12 kB\n";
        assert_eq!(three(field(status, "Uid:")), [1, 2, 3]);
        assert_eq!(three(field(status, "Gid:")), [u32::MAX; 3]);
        assert!(!is_kernel_thread(status, Pid(7)));
        assert!(is_kernel_thread("Kthread:\t1\n", Pid(7)));
        assert!(is_kernel_thread("State:\tS\n", Pid(7)));
        assert!(!is_kernel_thread("State:\tZ (zombie)\n", Pid(7)));
        assert_eq!(file_name("/opt/go/bin/go (deleted)"), "go");
    }

    #[test]
    fn this_process() {
        let own = Identity::read(Pid(std::process::id().cast_signed())).unwrap();
        assert!(!own.has_ended && !own.is_kernel_thread);
        assert_eq!(own.users[1], nix::unistd::geteuid().as_raw());
    }
}
