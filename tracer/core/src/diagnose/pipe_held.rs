//! # pipe-held: the child has exited, but something it left behind keeps its output pipe open
//!
//! go reads what its child prints until nobody has the other end of the pipe open any more. The child has ended, but a process that it
//! left in the background inherited the pipe: ssh's ControlPersist master, git-credential-cache's daemon, a helper of git-lfs. `ps`
//! shows no child, and go waits all the same.
//!
//! **Seen by** a pipe that go reads, and that only processes have open for writing which are no children of go any more.
//!
//! **Limit** none: os/exec waits for the end of the output, and cmd/go sets no WaitDelay.
//!
//! **What to do** End that process; go goes on at once. For ssh: `ControlMaster=no` in `GIT_SSH_COMMAND`; for the credential cache: start its
//! daemon before.

use super::draft::Draft;
use super::far;
use super::scene::Scene;
use crate::event::{Access, Descriptor, DescriptorTarget, Goroutine, ProcessRole, ProcessState};
use crate::report::{Confidence, Finding};
use crate::text;
use crate::units::Pid;

/// How many holders are named.
const NAMED: usize = 3;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    scene.living().filter_map(|p| held_up(scene, p)).collect()
}

/// The pipe of `process` whose writers it cannot be waiting for as its children.
fn held_up(scene: &Scene<'_>, process: &ProcessState) -> Option<Finding> {
    let read = process.descriptors.iter().filter(|d| is_output_of_child(process, d));
    let mut held = read.filter_map(|d| {
        let holders: Vec<Pid> = far::of(scene, process, d).iter().map(|f| f.pid).collect();
        let left_behind = |pid: &Pid| !scene.is_child_now(*pid, process.pid);
        (!holders.is_empty() && holders.iter().all(left_behind)).then_some((d, holders))
    });
    let (descriptor, holders) = held.next()?;
    told(scene, process, descriptor, &holders)
}

/// os/exec makes pipes that are closed on exec; what was inherited is not. Of programs that are not Go, a thread says what it
/// reads.
fn is_output_of_child(process: &ProcessState, d: &Descriptor) -> bool {
    let pipe = matches!(d.target, DescriptorTarget::Pipe(_)) && d.access == Some(Access::Read);
    let own = d.fd.0 > 2 && d.close_on_exec;
    let goes = process.role == ProcessRole::Go;
    let reads = super::sits::of(process).is_some_and(|s| s.fd() == Some(d.fd));
    pipe && own && (goes || reads)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn told(
    scene: &Scene<'_>,
    process: &ProcessState,
    descriptor: &Descriptor,
    holders: &[Pid],
) -> Option<Finding> {
    let pid = process.pid;
    let since = scene.still_since(pid);
    if scene.is_young(pid, since) {
        return None;
    }
    let first = *holders.first()?;
    let (who, reader) = (scene.command(first), scene.name(pid));
    let awaits = |g: &&Goroutine| g.is_in("os/exec.(*Cmd).awaitGoroutines");
    let go = process.go.as_ref();
    let goroutine = go.and_then(|go| go.goroutines.iter().find(awaits));
    let modules: Vec<String> = goroutine.and_then(Goroutine::worked_on).into_iter().collect();
    let child = scene.last_child(pid).or_else(|| {
        goroutine.and_then(|g| g.text("program")).map(|path| file_name(path).to_owned())
    });
    let summary = match child {
        Some(child) => format!("{child} has ended, but {who} keeps its output open."),
        None => format!("{who} keeps a pipe open that {reader} reads to its end."),
    };
    let named = holders.iter().take(NAMED).map(|pid| scene.command_and_starter(*pid));
    let pids = text::list(&holders.iter().map(Pid::to_string).collect::<Vec<_>>());
    let has = if holders.len() == 1 { "has" } else { "have" };
    let kill: Vec<String> = holders.iter().map(Pid::to_string).collect();
    let made = Draft::new(scene, "pipe-held", pid, since, summary);
    let made = match modules.is_empty() {
        true => made,
        false => made.modules(modules),
    };
    let made = match goroutine {
        Some(g) => made.goroutine(g.id, "the end of its child's output"),
        None => made,
    };
    Some(
        made.confidence(Confidence::Certain)
            .blocked(None, "read", Some(descriptor.fd))
            .fact("holder", named)
            .seen(
                format!(
                    "{pid} reads a pipe (fd {}); only {pids} {has} its other end,",
                    descriptor.fd
                ),
                scene.now,
                "snapshot",
            )
            .seen("and no child of it is left to write there", scene.now, "snapshot")
            .link(
                format!("the end of a pipe that {who} keeps open"),
                format!("{pids} {has} the other end and is no child of {pid}"),
            )
            .then(first, "nothing here: it only keeps the pipe open", "it inherited the pipe")
            .limit("none: the output of a child is read to its end")
            .remedy(
                format!("end what was left behind; {reader} then goes on:"),
                Some(format!("kill {}", kill.join(" "))),
            )
            .done(),
    )
}
