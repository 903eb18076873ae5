//! # spinning: it uses a CPU, and nothing comes of it
//!
//! A Go program goes round in a loop that asks for something again and again, and does nothing else: a flag that nobody sets, a
//! channel that nobody sends to, polled by a `select` with a `default`. It looks busy and waits.
//!
//! **Seen by** the goroutines that run, read from the memory of the process while it goes on. Go's runtime interrupts whatever runs
//! for 10 ms, and what was in the registers then can be read. What computes is hardly ever found in one state twice. All the goroutines
//! that run were found, four times and more, at a few places of the program where registers, stack, and what their functions point to
//! were what they had been there before; none began or ended; and nothing else moved. CPU time that is used so is no movement.
//!
//! **Not told** of a program that counts its attempts, looks at the clock, allocates memory or gives up its turn
//! (`runtime.Gosched`) in such a loop, of benchmarks, and of programs that run with `GODEBUG=asyncpreemptoff=1`: gmtrace cannot know
//! these from work, and takes them for it.
//!
//! **Limit** none.
//!
//! **What to do** It is a mistake in that program: its goroutines, with their lines, are printed by `kill -QUIT PID`, which ends it.

use super::draft::Draft;
use super::scene::Scene;
use crate::event::{Goroutine, ProcessState};
use crate::report::{Confidence, Finding};
use crate::session::{CPU_SHARE_THAT_MOVES, Spin, Spinner};
use crate::text::{self, Style};

/// How many goroutines are shown.
const SHOWN: usize = 3;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    let spins = |p: &ProcessState| told(scene, p, scene.session.spin(p.pid)?);
    scene.living().filter(|p| p.in_tree).filter_map(spins).collect()
}

fn told(scene: &Scene<'_>, process: &ProcessState, spin: &Spin) -> Option<Finding> {
    let pid = process.pid;
    let runs = scene.session.cpu_share(pid) >= CPU_SHARE_THAT_MOVES;
    if !runs || scene.is_young(pid, spin.since) {
        return None;
    }
    let summary = format!("{} spins: it uses a CPU, and nothing comes of it.", scene.command(pid));
    let first = spin.goroutines.values().next()?;
    let mut made = Draft::new(scene, "spinning", pid, spin.since, summary)
        .confidence(Confidence::Likely)
        .blocked(first.goroutine.tid, "", None)
        .goroutine(first.goroutine.id, "something that it asks for again and again");
    for spinner in spin.goroutines.values().take(SHOWN) {
        made = made.seen(place(&spinner.goroutine), scene.now, "snapshot");
        made = made.seen(found(scene, spin, spinner), scene.now, "snapshot");
    }
    if spin.goroutines.len() > SHOWN {
        made = made.fact("seen", [format!("and {} more", spin.goroutines.len() - SHOWN)]);
    }
    Some(
        made.limit("none: it asks for ever")
            .or_else("it works in memory that was not compared")
            .remedy("see its goroutines (this ends it):", Some(format!("kill -QUIT {pid}")))
            .done(),
    )
}

/// `goroutine 1 runs in main.wait, called by main.main`.
fn place(goroutine: &Goroutine) -> String {
    let own = |f: &&String| !["runtime.", "sync", "internal/"].iter().any(|o| f.starts_with(o));
    let mut functions = goroutine.functions.iter().filter(own);
    let place = functions.next().map_or("code without a name", String::as_str);
    let caller = functions.next().map(|f| format!(", called by {f}"));
    format!("goroutine {} runs in {place}{}", goroutine.id, caller.unwrap_or_default())
}

/// `interrupted 9 times in 5 s, 8 times just as it was before`.
fn found(scene: &Scene<'_>, spin: &Spin, spinner: &Spinner) -> String {
    let time = text::duration(scene.now.since(spin.since).0, Style::About);
    format!(
        "looked at {} times in {time}, {} times just as it had been before",
        spinner.found, spinner.recurred
    )
}
