//! Which processes are meant.

use super::refused::{self, Refusal};
use crate::capture::proc::Identity;
use gmtrace_core::units::Pid;
use nix::errno::Errno;
use nix::sys::signal::kill;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use thiserror::Error;

/// At most this many candidates are named.
const NAMED: usize = 5;

/// Why there is nothing to look into.
#[derive(Debug, Error)]
pub enum NoTarget {
    /// `-p ""`, as where `pgrep` has found nothing.
    #[error("-p: no process id is given; gmtrace ps lists the go commands that run")]
    None,
    /// Not a number.
    #[error("-p {0}: that is no process id; write -p 41190 or -p 41190,41207")]
    NoNumber(String),
    /// It does not run, under any number.
    #[error("there is no process {0}; gmtrace ps lists the go commands that run")]
    NoProcess(Pid),
    /// It is a pid inside of several containers.
    #[error(
        "{pid} is a process of several containers; say which by its pid out here: {}",
        list(outside)
    )]
    Ambiguous {
        /// The pid as given.
        pid: Pid,
        /// The pids that have it inside.
        outside: Vec<Pid>,
    },
    /// A thread of the kernel.
    #[error("{0} ({1}) is a thread of the kernel: no command runs in it")]
    Kernel(Pid, String),
    /// It has ended.
    #[error("{pid} ({name}) has ended; its parent {parent} has not asked how")]
    Zombie {
        /// The process.
        pid: Pid,
        /// Its name.
        name: String,
        /// Its parent.
        parent: Pid,
    },
    /// gmtrace.
    #[error("{0} is this gmtrace itself")]
    Itself(Pid),
    /// It may not even be seen.
    #[error("process {0} runs, but {1}")]
    Hidden(Pid, Refusal),
}

fn list(pids: &[Pid]) -> String {
    pids.iter().take(NAMED).map(Pid::to_string).collect::<Vec<_>>().join(", ")
}

/// The numbers in the words of `-p`: separated by commas, spaces or newlines, as strace takes them.
///
/// # Errors
/// No number, or what is none.
pub fn parse(words: &[OsString]) -> Result<Vec<Pid>, NoTarget> {
    let mut pids = Vec::new();
    for word in words {
        let text = String::from_utf8_lossy(word.as_bytes());
        let numbers = text.split([',', ' ', '\t', '\n']).filter(|number| !number.is_empty());
        for number in numbers {
            let pid = number.parse::<i32>().ok().filter(|pid| *pid > 0);
            let pid = pid.map(Pid).ok_or_else(|| NoTarget::NoNumber(number.to_owned()))?;
            if !pids.contains(&pid) {
                pids.push(pid);
            }
        }
    }
    if pids.is_empty() { Err(NoTarget::None) } else { Ok(pids) }
}

/// The process that `pid` means: a process of this pid namespace, the process of a thread, or one of a container that has this
/// number inside, where only one has.
///
/// # Errors
/// Why there is none that could be looked into.
pub fn resolve(pid: Pid, own: &[Pid]) -> Result<Pid, NoTarget> {
    let found = match Identity::read(pid) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(NoTarget::Hidden(pid, refused::hidepid(pid)));
        }
        Err(_gone) => Identity::read(inside(pid)?).map_err(|_gone| NoTarget::NoProcess(pid))?,
    };
    if own.contains(&found.pid) {
        return Err(NoTarget::Itself(pid));
    }
    if found.is_kernel_thread {
        return Err(NoTarget::Kernel(found.pid, found.name));
    }
    if found.has_ended {
        return Err(NoTarget::Zombie { pid: found.pid, name: found.name, parent: found.parent });
    }
    Ok(found.pid)
}

/// The one process that is `pid` in its own pid namespace.
fn inside(pid: Pid) -> Result<Pid, NoTarget> {
    let everyone = crate::capture::proc::everyone();
    let inside = |outer: &Pid| Identity::read(*outer).is_ok_and(|i| i.inner == Some(pid));
    let outside: Vec<Pid> = everyone.into_iter().filter(inside).collect();
    match outside.as_slice() {
        [one] => Ok(*one),
        // Signal 0 is sent to nobody: it asks whether there is somebody (kill(2)). hidepid=2 hides the directory.
        [] => match kill(nix::unistd::Pid::from_raw(pid.0), None) {
            Err(Errno::EPERM) => Err(NoTarget::Hidden(pid, refused::hidepid(pid))),
            _ => Err(NoTarget::NoProcess(pid)),
        },
        _ => Err(NoTarget::Ambiguous { pid, outside }),
    }
}

/// The commands of go on this machine: the go command itself and gopls, without go's telemetry child.
pub fn go_commands() -> Vec<Pid> {
    let everyone = crate::capture::proc::everyone();
    let is_go = |pid: &Pid| {
        Identity::read(*pid).is_ok_and(|i| {
            !i.has_ended && !i.is_kernel_thread && matches!(i.program.as_str(), "go" | "gopls")
        })
    };
    everyone.into_iter().filter(is_go).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        vec![OsString::from(text)]
    }

    #[test]
    fn numbers_as_strace_takes_them() {
        assert_eq!(parse(&words("1,2 3\n4,,1")).unwrap(), [Pid(1), Pid(2), Pid(3), Pid(4)]);
        assert!(matches!(parse(&words(" ,\n")), Err(NoTarget::None)));
        for bad in ["x", "0", "-5", "1.5", "99999999999", "1;2"] {
            assert!(matches!(parse(&words(bad)), Err(NoTarget::NoNumber(_))), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_looked_into() {
        let own = Pid(std::process::id().cast_signed());
        assert_eq!(resolve(own, &[]).unwrap(), own);
        assert!(matches!(resolve(own, &[own]), Err(NoTarget::Itself(_))));
        assert!(matches!(resolve(Pid(i32::MAX), &[]), Err(NoTarget::NoProcess(_))));
    }
}
