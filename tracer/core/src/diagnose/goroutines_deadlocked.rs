//! # goroutines-deadlocked: every goroutine waits for another one
//!
//! A Go program stands still although nothing outside of it is waited for: no goroutine waits for the kernel, all wait for channels and
//! locks that only other goroutines could serve. Go's own check (`all goroutines are asleep`) sees this only where nothing else could
//! wake the program; a handler of signals is enough to hide it.
//!
//! **Seen by** the goroutines, read from the memory of the process: what each waits for, and in which function.
//!
//! **Limit** none.
//!
//! **What to do** It is a mistake in that program: its goroutines, with their lines, are printed by `kill -QUIT PID`, which ends it.

use super::draft::Draft;
use super::scene::Scene;
use crate::event::{GoRuntime, Goroutine, ProcessState, Status};
use crate::report::{Confidence, Finding};

/// What only another goroutine can end (runtime.waitReasonStrings).
const BY_OTHERS: &[&str] = &[
    "chan receive",
    "chan receive (nil chan)",
    "chan send",
    "chan send (nil chan)",
    "select (no cases)",
    "semacquire",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
];

/// How many goroutines are shown.
const SHOWN: usize = 4;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    let asleep = |p: &&ProcessState| p.in_tree && matches!(p.state, 'S' | 'I');
    scene.living().filter(asleep).filter_map(|p| told(scene, p, p.go.as_ref()?)).collect()
}

/// How a goroutine stands to the others.
enum Waits {
    /// Only another goroutine can wake it.
    Others,
    /// A channel of several, of which one may be a timer's.
    Perhaps,
    /// The kernel can: a descriptor, a timer, a system call; or it runs.
    Kernel,
}

fn waits(goroutine: &Goroutine) -> Waits {
    match goroutine.wait_reason.as_deref() {
        _ if goroutine.status != Status::Waiting || goroutine.waits_for.is_some() => Waits::Kernel,
        Some(reason) if BY_OTHERS.contains(&reason) => Waits::Others,
        Some("select") => Waits::Perhaps,
        _ => Waits::Kernel,
    }
}

/// Whoever only passes signals on wakes nobody by itself.
fn counts(goroutine: &&Goroutine) -> bool {
    !goroutine.system && !goroutine.functions.iter().any(|f| f == "os/signal.signal_recv")
}

fn told(scene: &Scene<'_>, process: &ProcessState, go: &GoRuntime) -> Option<Finding> {
    let whole = go.unreadable.is_none() && go.partial.is_empty();
    let all: Vec<&Goroutine> = go.goroutines.iter().filter(counts).collect();
    // A program that has yet to begin, or wants a CPU, will wake the others.
    let could_run = process.threads.iter().any(|thread| thread.state == 'R')
        || go.goroutines.iter().any(|g| !matches!(g.status, Status::Waiting | Status::Syscall));
    let has_begun = all.iter().any(|g| g.functions.iter().any(|f| !f.starts_with("runtime.")));
    if could_run || !has_begun {
        return None;
    }
    if !whole || all.is_empty() || !scene.session.children(process.pid).is_empty() {
        return None;
    }
    let kinds: Vec<Waits> = all.iter().map(|g| waits(g)).collect();
    let stuck = all.iter().zip(&kinds).find(|(_, kind)| matches!(kind, Waits::Others))?.0;
    if kinds.iter().any(|kind| matches!(kind, Waits::Kernel)) {
        return None;
    }
    let sure = match kinds.iter().any(|kind| matches!(kind, Waits::Perhaps)) {
        true => Confidence::Possible,
        false => Confidence::Likely,
    };
    let pid = process.pid;
    let since = scene.still_since(pid);
    if scene.is_young(pid, since) {
        return None;
    }
    let (name, count) = (scene.command(pid), all.len());
    let summary = match count {
        1 => format!("{name} waits for itself: its one goroutine is blocked for ever."),
        _ => format!("{name} waits for itself: its {count} goroutines wait for each other."),
    };
    let mut made = Draft::new(scene, "goroutines-deadlocked", pid, since, summary)
        .confidence(sure)
        .blocked(None, stuck.wait_reason.as_deref().unwrap_or_default(), None)
        .goroutine(stuck.id, "another one");
    for goroutine in all.iter().take(SHOWN) {
        made = made.seen(line(goroutine), scene.now, "snapshot");
    }
    if count > SHOWN {
        made = made.fact("seen", [format!("and {} more", count - SHOWN)]);
    }
    Some(
        made.limit("none: nobody is left to wake them")
            .remedy("see its goroutines (this ends it):", Some(format!("kill -QUIT {pid}")))
            .done(),
    )
}

/// `goroutine 1: chan receive, in main.main`.
fn line(goroutine: &Goroutine) -> String {
    let own =
        |f: &&String| !["runtime.", "sync.", "internal/"].iter().any(|own| f.starts_with(own));
    let place = goroutine.functions.iter().find(own).map(|f| format!(", in {f}"));
    let reason = goroutine.wait_reason.as_deref().unwrap_or("waits");
    format!("goroutine {}: {reason}{}", goroutine.id, place.unwrap_or_default())
}
