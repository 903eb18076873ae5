//! What this machine and this user allow, found out before anything is tried: the kernel itself says EPERM to all of it.

use super::machine::Version;
use std::fmt;
use std::fs;
use std::path::Path;

/// The first kernel with ring buffers, CAP_BPF and CAP_PERFMON.
const OLDEST: Version = Version(5, 8);
/// The first without RLIMIT_MEMLOCK for programs and maps.
const FREE_OF_MEMLOCK: Version = Version(5, 11);

/// Why eBPF cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The kernel is too old.
    Kernel(Version),
    /// The kernel does not tell its types.
    NoBtf,
    /// Its lockdown mode forbids reading its memory.
    Lockdown,
    /// These capabilities are missing.
    Capabilities(Vec<&'static str>),
    /// gmtrace runs in a user namespace, whose capabilities do not count.
    UserNamespace,
    /// The kernel refused all the same.
    Refused(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Kernel(version) => {
                write!(f, "eBPF needs Linux {OLDEST} or newer, and this is {version}")
            }
            Refusal::NoBtf => {
                f.write_str("eBPF needs /sys/kernel/btf/vmlinux, and this kernel has none")
            }
            Refusal::Lockdown => {
                f.write_str("the kernel's lockdown mode (confidentiality) forbids eBPF to read it")
            }
            Refusal::Capabilities(missing) => {
                write!(f, "eBPF needs root, or {}", missing.join(" and "))
            }
            Refusal::UserNamespace => f.write_str(
                "eBPF needs its capabilities outside of this user namespace (a rootless container's)",
            ),
            Refusal::Refused(why) => write!(f, "eBPF was refused ({why})"),
        }
    }
}

impl Refusal {
    /// What to try.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Refusal::Capabilities(_) => Some("sudo -E gmtrace --backend ebpf -u \"$USER\" ..."),
            Refusal::UserNamespace => {
                Some("docker run --cap-add=BPF --cap-add=PERFMON --cap-add=SYS_PTRACE ...")
            }
            Refusal::Refused(_) => Some("gmtrace -vv --backend ebpf true, which tells more"),
            Refusal::Kernel(_) | Refusal::NoBtf | Refusal::Lockdown => Some("--backend ptrace"),
        }
    }

    /// Whether somebody who has the rights would expect it to work.
    pub fn is_surprising(&self) -> bool {
        !matches!(self, Refusal::Capabilities(_))
    }
}

/// What is known of the machine and the user.
#[derive(Debug, Clone)]
struct Facts {
    kernel: Version,
    has_btf: bool,
    lockdown: String,
    capabilities: u64,
    user_map: String,
}

impl Facts {
    /// From the files below a root; that of tests is not `/`.
    fn read(root: &Path, kernel: Version) -> Facts {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let status = text("proc/self/status");
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let capabilities = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        Facts {
            kernel,
            has_btf: root.join("sys/kernel/btf/vmlinux").exists(),
            lockdown: text("sys/kernel/security/lockdown"),
            capabilities: capabilities.unwrap_or(0),
            user_map: text("proc/self/uid_map"),
        }
    }

    /// capabilities(7).
    fn may(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }

    fn refusal(&self) -> Option<Refusal> {
        const CAP_SYS_ADMIN: u32 = 21;
        const CAP_PERFMON: u32 = 38;
        const CAP_BPF: u32 = 39;
        if self.kernel < OLDEST {
            return Some(Refusal::Kernel(self.kernel));
        }
        if !self.has_btf {
            return Some(Refusal::NoBtf);
        }
        if self.lockdown.contains("[confidentiality]") {
            return Some(Refusal::Lockdown);
        }
        let wanted = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")];
        let missing: Vec<_> =
            wanted.iter().filter(|(cap, _)| !self.may(*cap)).map(|(_, name)| *name).collect();
        if !missing.is_empty() && !self.may(CAP_SYS_ADMIN) {
            return Some(Refusal::Capabilities(missing));
        }
        // user_namespaces(7): the first one maps every id to itself.
        let first = self.user_map.split_whitespace().eq(["0", "0", "4294967295"]);
        (!first).then_some(Refusal::UserNamespace)
    }
}

/// Whether eBPF can be used here, as far as that can be known before.
///
/// # Errors
/// Why not.
pub fn check(kernel: Version) -> Result<(), Refusal> {
    Facts::read(Path::new("/"), kernel).refusal().map_or(Ok(()), Err)
}

/// Runs `work` with as much locked memory as may be had, where the kernel counts programs and maps in it. The limit is as before
/// afterwards: the command inherits it.
pub fn with_memory<T>(kernel: Version, work: impl FnOnce() -> T) -> T {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
    let limit = Resource::RLIMIT_MEMLOCK;
    let before = getrlimit(limit).ok().filter(|_| kernel < FREE_OF_MEMLOCK);
    if before.is_some() {
        // Refused: the maps are refused then, and that is said.
        _ = setrlimit(limit, RLIM_INFINITY, RLIM_INFINITY);
    }
    let done = work();
    if let Some((soft, hard)) = before {
        _ = setrlimit(limit, soft, hard);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: u64 = 0x1ff_ffff_ffff;

    fn machine(changes: &[(&str, &str)]) -> Option<Refusal> {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("sys/kernel/btf/vmlinux", "types".to_owned()),
            ("sys/kernel/security/lockdown", "[none] integrity confidentiality\n".to_owned()),
            ("proc/self/status", format!("Name:\tx\nCapEff:\t{ROOT:016x}\n")),
            ("proc/self/uid_map", "         0          0 4294967295\n".to_owned()),
        ];
        for (path, text) in files {
            let text =
                changes.iter().find(|(p, _)| *p == path).map_or(text, |(_, t)| (*t).to_owned());
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            if !text.is_empty() {
                fs::write(file, text).unwrap();
            }
        }
        Facts::read(root.path(), Version(6, 1)).refusal()
    }

    #[test]
    fn root_may_and_each_obstacle_has_its_name() {
        assert_eq!(machine(&[]), None);
        assert_eq!(machine(&[("sys/kernel/btf/vmlinux", "")]), Some(Refusal::NoBtf));
        let locked = "none integrity [confidentiality]\n";
        assert_eq!(machine(&[("sys/kernel/security/lockdown", locked)]), Some(Refusal::Lockdown));
        let rootless = "         0     100000      65536\n";
        assert_eq!(machine(&[("proc/self/uid_map", rootless)]), Some(Refusal::UserNamespace));
        let nothing = "CapEff:\t0000000000000000\n";
        assert_eq!(
            machine(&[("proc/self/status", nothing)]),
            Some(Refusal::Capabilities(vec!["CAP_BPF", "CAP_PERFMON"]))
        );
    }

    #[test]
    fn two_capabilities_are_enough() {
        let status = format!("CapEff:\t{:016x}\n", 1_u64 << 39 | 1 << 38);
        assert_eq!(machine(&[("proc/self/status", &status)]), None);
        let status = format!("CapEff:\t{:016x}\n", 1_u64 << 39);
        let refusal = machine(&[("proc/self/status", &status)]).unwrap();
        assert_eq!(refusal.to_string(), "eBPF needs root, or CAP_PERFMON");
        let old = Facts::read(Path::new("/nonexistent"), Version(5, 4)).refusal().unwrap();
        assert_eq!(old.to_string(), "eBPF needs Linux 5.8 or newer, and this is 5.4");
    }
}
