//! Who belongs to the tree, and who started it.

use super::file;
use super::stat::Stat;
use gmtrace_core::event::{ProcessRole, StartedBy};
use gmtrace_core::units::Pid;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

/// At most this many processes are followed.
pub(super) const MAX_PROCESSES: usize = 4096;

/// At most this many processes of a machine are looked at.
const MAX_MACHINE: usize = 65_536;

/// How far up the way to the starter is followed.
const MAX_ANCESTORS: usize = 32;

/// The living (and the unreaped) among `first` and all their descendants; those of `first` lead.
pub(super) fn with_descendants(first: impl IntoIterator<Item = Pid>, limit: usize) -> Vec<Pid> {
    let parents = parents_if_needed();
    let mut queue: VecDeque<Pid> = first.into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(pid) = queue.pop_front().filter(|_| found.len() < limit) {
        if pid.0 > 0 && seen.insert(pid) && Path::new(&format!("/proc/{pid}")).exists() {
            queue.extend(children(pid, parents.as_ref()));
            found.push(pid);
        }
    }
    found
}

/// The processes of the machine that can be seen.
pub fn everyone() -> Vec<Pid> {
    file::numbers("/proc", MAX_MACHINE).unwrap_or_default().into_iter().map(Pid).collect()
}

/// Children by parent, for kernels without CONFIG_PROC_CHILDREN.
fn parents_if_needed() -> Option<BTreeMap<Pid, Vec<Pid>>> {
    if Path::new("/proc/thread-self/children").exists() {
        return None;
    }
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for pid in everyone() {
        if let Ok(stat) = Stat::read(format!("/proc/{pid}")) {
            children.entry(stat.ppid).or_default().push(pid);
        }
    }
    Some(children)
}

/// Each thread has children of its own (proc_tid_children(5)).
fn children(pid: Pid, parents: Option<&BTreeMap<Pid, Vec<Pid>>>) -> Vec<Pid> {
    if let Some(parents) = parents {
        return parents.get(&pid).cloned().unwrap_or_default();
    }
    let tids = file::numbers(format!("/proc/{pid}/task"), MAX_PROCESSES).unwrap_or_default();
    let of_thread = |tid: i32| {
        file::text(format!("/proc/{pid}/task/{tid}/children"), file::SMALL).unwrap_or_default()
    };
    let lists: Vec<String> = tids.into_iter().map(of_thread).collect();
    let words = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    words.filter_map(|word| word.parse().ok()).map(Pid).collect()
}

/// Programs between a starter and what it starts.
const WRAPPERS: [&str; 24] = [
    "sh", "bash", "dash", "ash", "busybox", "zsh", "fish", "ksh", "mksh", "sudo", "doas", "su",
    "env", "timeout", "nice", "nohup", "setsid", "stdbuf", "time", "xargs", "strace", "setpriv",
    "runuser", "gmtrace",
];

/// Programs that a person sits at, or that start everything: their name says nothing.
const NOBODY: [&str; 19] = [
    "systemd",
    "init",
    "(sd-pam)",
    "login",
    "sshd",
    "sshd-session",
    "sshd-auth",
    "getty",
    "agetty",
    "tmux",
    "screen",
    "script",
    "tini",
    "dumb-init",
    "docker-init",
    "catatonit",
    "gnome-terminal-server",
    "konsole",
    "xterm",
];

/// The processes above `pid`, the nearest first.
pub(super) fn above(pid: Pid) -> Vec<Pid> {
    let mut above = Vec::new();
    let mut at = pid;
    while above.len() < MAX_ANCESTORS {
        match Stat::read(format!("/proc/{at}")) {
            Ok(stat) if stat.ppid.0 > 0 => at = stat.ppid,
            _ => break,
        }
        above.push(at);
    }
    above
}

/// The first process above `pid` that is no shell and no wrapper; none when that is the login session or init.
pub(super) fn started_by(pid: Pid) -> Option<StartedBy> {
    let mut below = pid;
    for _ in 0..MAX_ANCESTORS {
        let above = Stat::read(format!("/proc/{below}")).ok()?.ppid;
        if above.0 <= 0 {
            return None;
        }
        let name = name(above)?;
        if NOBODY.contains(&name.as_str()) || name.starts_with("tmux:") {
            return None;
        }
        // A login shell calls itself `-bash`.
        if !WRAPPERS.contains(&name.trim_start_matches('-')) {
            return Some(StartedBy { pid: above, name });
        }
        below = above;
    }
    None
}

/// The file name of the program, or what the process calls itself where that may not be read.
fn name(pid: Pid) -> Option<String> {
    let exe = file::link(format!("/proc/{pid}/exe"));
    match exe {
        Ok(exe) => Some(file_name(&exe).to_owned()),
        Err(_refused) => Stat::read(format!("/proc/{pid}")).ok().map(|stat| stat.comm),
    }
}

/// The last part of the path of a program; the kernel marks a file that was removed.
fn file_name(exe: &str) -> &str {
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    exe.rsplit('/').next().unwrap_or(exe)
}

/// What kind of program this is, by its file name, or by its own name where that may not be read.
pub(super) fn role(exe: Option<&str>, comm: &str) -> ProcessRole {
    match exe.map_or(comm, file_name) {
        "go" => ProcessRole::Go,
        "ssh" => ProcessRole::Ssh,
        "git" => ProcessRole::Git,
        name if name.starts_with("git-credential") => ProcessRole::Helper,
        name if name.starts_with("docker-credential") => ProcessRole::Helper,
        name if name.starts_with("git-") => ProcessRole::Git,
        _ => ProcessRole::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_by_file_name() {
        assert_eq!(role(Some("/usr/local/go/bin/go"), "x"), ProcessRole::Go);
        assert_eq!(role(Some("/usr/local/go/bin/go (deleted)"), "x"), ProcessRole::Go);
        assert_eq!(role(Some("/usr/lib/git-core/git-remote-https"), "x"), ProcessRole::Git);
        assert_eq!(role(Some("/usr/bin/git-credential-store"), "x"), ProcessRole::Helper);
        assert_eq!(role(Some("/tmp/evil"), "go"), ProcessRole::Other);
        assert_eq!(role(None, "ssh"), ProcessRole::Ssh);
        assert_eq!(role(Some(""), ""), ProcessRole::Other);
    }

    #[test]
    fn the_dead_are_left_out() {
        let own = Pid(std::process::id().cast_signed());
        let found = with_descendants([Pid(i32::MAX), Pid(0), Pid(-1), own], 1);
        assert_eq!(found, [own]);
        assert_eq!(started_by(Pid(i32::MAX)), None);
    }
}
