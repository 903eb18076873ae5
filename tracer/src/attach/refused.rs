//! Why a process may not be looked into, and the one command to try (ptrace(2), "Ptrace access mode checking").

use crate::capture::proc::Identity;
use gmtrace_core::event::Snapshot;
use gmtrace_core::units::Pid;
use nix::sys::stat::stat;
use std::fmt;

/// CAP_SYS_PTRACE of linux/capability.h.
const CAP_SYS_PTRACE: u64 = 1 << 19;

/// A reason, and what to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: String,
    /// The command to try.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; try: {}", self.reason, self.remedy)
    }
}

/// A `/proc` that is mounted with `hidepid` (proc(5)).
pub(super) fn hidepid(pid: Pid) -> Refusal {
    Refusal {
        reason: "/proc is mounted with hidepid and does not show processes of others".to_owned(),
        remedy: format!("sudo gmtrace -p {pid}"),
    }
}

/// What gmtrace itself may do.
#[derive(Debug, Clone, Copy)]
struct Own {
    user: u32,
    group: u32,
    permitted: u64,
    traces: bool,
}

impl Own {
    fn read() -> Option<Own> {
        let identity = Identity::read(Pid(std::process::id().cast_signed())).ok()?;
        Some(Own {
            user: nix::unistd::geteuid().as_raw(),
            group: nix::unistd::getegid().as_raw(),
            permitted: identity.capabilities,
            traces: identity.capabilities & CAP_SYS_PTRACE != 0,
        })
    }
}

/// Why `pid`, to which access was refused, may not be looked into.
pub fn refusal(pid: Pid) -> Option<Refusal> {
    let target = Identity::read(pid).ok()?;
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
    let scope = scope.and_then(|scope| scope.trim().parse().ok()).unwrap_or(0);
    // What cannot be dumped belongs to root in /proc, but for the directory itself (task_dump_owner in fs/proc/base.c).
    let owner = stat(format!("/proc/{pid}/status").as_str()).ok().map(|found| found.st_uid);
    Some(explain(&target, owner, Own::read()?, scope))
}

/// The checks in the order in which the kernel makes them.
fn explain(target: &Identity, owner: Option<u32>, own: Own, yama: u8) -> Refusal {
    let pid = target.pid;
    let sudo = format!("sudo gmtrace -p {pid}");
    let say = |reason: String, remedy: &str| Refusal { reason, remedy: remedy.to_owned() };
    if own.traces {
        let reason = match yama {
            3 => format!("kernel.yama.ptrace_scope is 3: nobody may look into process {pid}"),
            _ => {
                format!("a security module, or another user namespace, keeps process {pid} closed")
            }
        };
        return say(reason, "sudo journalctl -k --grep 'denied|ptrace'");
    }
    let [_, user, _] = target.users;
    if target.users.iter().any(|id| *id != own.user) {
        let reason = format!("process {pid} belongs to {}", name_of_user(user));
        return match own.user {
            0 => say(
                format!("{reason}, and root has no CAP_SYS_PTRACE here (a container?)"),
                "docker run --cap-add SYS_PTRACE ...",
            ),
            _ => say(reason, &sudo),
        };
    }
    if target.groups.iter().any(|id| *id != own.group) {
        return say(format!("process {pid} runs with another group"), &sudo);
    }
    if target.capabilities & !own.permitted != 0 {
        return say(format!("process {pid} has capabilities that gmtrace has not"), &sudo);
    }
    if owner.is_some_and(|owner| owner != user) {
        let reason = format!("process {pid} is not dumpable (setuid, or prctl(2) PR_SET_DUMPABLE)");
        return say(reason, &sudo);
    }
    match yama {
        1 => say(
            format!("kernel.yama.ptrace_scope is 1: only its parents may look into process {pid}"),
            &sudo,
        ),
        2 => say(
            format!("kernel.yama.ptrace_scope is 2: only root may look into process {pid}"),
            &sudo,
        ),
        3 => say(
            format!("kernel.yama.ptrace_scope is 3: nobody may look into process {pid}"),
            "cat /etc/sysctl.d/*ptrace*",
        ),
        _ => say(format!("process {pid} may not be looked into"), &sudo),
    }
}

/// The name in `/etc/passwd`: a directory server would have to be asked, and may not answer.
fn name_of_user(user: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then_some(name)
    });
    name.map_or_else(|| format!("user {user}"), |name| format!("user {name}"))
}

/// Says why, in place of the bare errors about a process.
pub(super) fn explain_unseen(snapshot: &mut Snapshot) {
    for pid in snapshot.processes.iter().map(|p| p.pid).collect::<Vec<_>>() {
        let about = [format!("process {pid} "), format!("process {pid}:")];
        let refused = |line: &String| {
            line.contains("ermission denied") && about.iter().any(|start| line.contains(start))
        };
        if !snapshot.unseen.iter().any(refused) {
            continue;
        }
        let files = snapshot.unseen.iter().any(|line| refused(line) && line.starts_with("desc"));
        snapshot.unseen.retain(|line| !refused(line));
        let what = if files { "files and connections" } else { "system calls and memory" };
        let why = refusal(pid).map_or_else(String::new, |why| format!(": {why}"));
        snapshot.unseen.push(format!("{what} of {pid}{why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Identity {
        Identity {
            pid: Pid(7),
            inner: None,
            parent: Pid(1),
            name: "go".to_owned(),
            program: "go".to_owned(),
            has_ended: false,
            is_kernel_thread: false,
            users: [1000; 3],
            groups: [1000; 3],
            capabilities: 0,
        }
    }

    const OWN: Own = Own { user: 1000, group: 1000, permitted: 0, traces: false };

    #[test]
    fn every_reason_has_its_command() {
        let said =
            |target: &Identity, owner, own, yama| explain(target, owner, own, yama).to_string();
        let mine = Some(1000);
        let other = Identity { users: [4_000_000; 3], ..target() };
        assert_eq!(
            said(&other, mine, OWN, 1),
            "process 7 belongs to user 4000000; try: sudo gmtrace -p 7"
        );
        assert!(said(&target(), mine, Own { user: 0, ..OWN }, 0).contains("--cap-add SYS_PTRACE"));
        let group = Identity { groups: [1000, 5, 5], ..target() };
        assert!(said(&group, mine, OWN, 0).contains("another group"));
        let able = Identity { capabilities: 1, ..target() };
        assert!(said(&able, mine, OWN, 0).contains("capabilities"));
        assert!(said(&target(), Some(0), OWN, 1).contains("not dumpable"));
        assert!(said(&target(), mine, OWN, 1).contains("ptrace_scope is 1"));
        assert!(said(&target(), mine, OWN, 2).contains("only root"));
        let root = Own { user: 0, group: 0, permitted: u64::MAX, traces: true };
        assert!(said(&target(), mine, root, 3).contains("nobody"));
        assert!(said(&target(), mine, root, 0).contains("security module"));
    }

    #[test]
    fn bare_errors_are_explained_once() {
        let mut snapshot = Snapshot {
            processes: vec![gmtrace_core::event::ProcessState {
                pid: Pid(1),
                ..Default::default()
            }],
            unseen: vec![
                "descriptors of process 1 (init): Permission denied (os error 13)".to_owned(),
                "system calls of process 1 (init): Permission denied (os error 13)".to_owned(),
                "descriptors of process 12 (x): Permission denied (os error 13)".to_owned(),
            ],
            ..Snapshot::default()
        };
        explain_unseen(&mut snapshot);
        let [other, told] = &snapshot.unseen[..] else { panic!("{:?}", snapshot.unseen) };
        assert!(other.contains("process 12"));
        assert!(told.starts_with("files and connections of 1: ") && told.contains("; try: "));
    }
}
