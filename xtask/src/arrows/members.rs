//! What the members of the workspace declare to depend on.

use cargo_metadata::{DependencyKind, Metadata};

/// What one member may depend on.
struct Member {
    name: &'static str,
    /// The other members it may use.
    ours: &'static [&'static str],
    /// Whether it may use crates that reach the operating system.
    system: bool,
}

const MEMBERS: &[Member] = &[
    Member { name: "gmtrace-core", ours: &[], system: false },
    Member { name: "gmtrace-abi", ours: &[], system: false },
    Member { name: "gmtrace", ours: &["gmtrace-core", "gmtrace-abi"], system: true },
    Member { name: "gmtrace-ebpf", ours: &["gmtrace-abi"], system: false },
    Member { name: "gmtrace-tests", ours: &["gmtrace-core"], system: true },
    Member { name: "xtask", ours: &[], system: true },
];

/// Crates whose purpose is the operating system. A new one belongs here; the scan of the sources
/// finds what this list forgets.
const SYSTEM: &[&str] = &[
    "aya",
    "libc",
    "linux-raw-sys",
    "mio",
    "netlink-packet-sock-diag",
    "netlink-sys",
    "nix",
    "procfs",
    "rustix",
    "seccompiler",
    "socket2",
    "syscalls",
    "tempfile",
    "tokio",
];

/// Every dependency, dev-dependencies apart, that the table above does not allow.
pub(super) fn crossings(metadata: &Metadata) -> Vec<String> {
    let packages = metadata.workspace_packages();
    let members: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut found = Vec::new();
    for package in &packages {
        let Some(member) = MEMBERS.iter().find(|member| member.name == package.name.as_str())
        else {
            found.push(format!(
                "{}: no such room: give it a row in xtask/src/arrows/members.rs",
                package.name
            ));
            continue;
        };
        let used = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        let forbidden = used.filter(|dependency| !member.may_use(&dependency.name, &members));
        found.extend(forbidden.map(|d| format!("{} may not depend on {}", member.name, d.name)));
    }
    found
}

impl Member {
    fn may_use(&self, dependency: &str, members: &[&str]) -> bool {
        if members.contains(&dependency) {
            return self.ours.contains(&dependency);
        }
        self.system || !SYSTEM.contains(&dependency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[&str] = &["gmtrace", "gmtrace-core", "gmtrace-tests", "xtask"];

    fn may(member: &str, dependency: &str) -> bool {
        let member = MEMBERS.iter().find(|m| m.name == member).unwrap();
        member.may_use(dependency, ALL)
    }

    #[test]
    fn core_uses_parsers_but_neither_the_system_nor_us() {
        assert!(may("gmtrace-core", "serde"));
        assert!(!may("gmtrace-core", "nix"));
        assert!(!may("gmtrace-core", "gmtrace"));
    }

    #[test]
    fn only_the_tracer_and_the_tests_use_core() {
        assert!(may("gmtrace", "gmtrace-core"));
        assert!(may("gmtrace-tests", "gmtrace-core"));
        assert!(!may("gmtrace-tests", "gmtrace"));
        assert!(!may("xtask", "gmtrace-core"));
    }

    #[test]
    fn this_workspace_is_within_its_borders() {
        let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().unwrap();
        assert_eq!(crossings(&metadata), Vec::<String>::new());
    }
}
