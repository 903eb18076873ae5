//! # output-blocked: whoever should read the output does not
//!
//! A pipe holds 64 KiB, a terminal a page or so. Once that is full, a program that writes waits until somebody reads: a pager that shows its
//! first page, a log collector that hangs, a terminal that was halted by Ctrl-S, a step of a pipeline that waits for something itself.
//!
//! **Seen by** a thread that sits in write(2), or a goroutine that is parked for it, on a pipe, a terminal or a unix socket.
//!
//! **Limit** none: a write waits for its reader.
//!
//! **What to do** See what the reader waits for, or let the output go to a file. In a terminal: Ctrl-Q.

use super::draft::Draft;
use super::far;
use super::scene::Scene;
use crate::event::{Access, Descriptor, DescriptorTarget, ProcessState, WaitsIn};
use crate::golang::Direction;
use crate::report::{Confidence, Finding};
use crate::units::{Pid, Tid};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    scene.living().filter(|p| p.in_tree).filter_map(|p| told(scene, p, &writes(p)?)).collect()
}

/// A write that waits.
struct Write<'a> {
    on: &'a Descriptor,
    tid: Option<Tid>,
    goroutine: Option<u64>,
    /// ` (kernel: FUNCTION)`
    kernel: String,
}

fn writes(process: &ProcessState) -> Option<Write<'_>> {
    let output = |fd| process.descriptors.iter().find(|d| d.fd == fd).filter(|d| is_output(d));
    let by_thread = process.threads.iter().find_map(|thread| {
        let call = thread.syscall.as_ref().filter(|call| call.waits_in() == WaitsIn::Write)?;
        // Only what sleeps there: a thread that writes and writes is in the call as well.
        let on = output(call.descriptor()?).filter(|_| matches!(thread.state, 'S' | 'D'))?;
        let kernel = thread.wchan.as_ref().map(|w| format!(" (kernel: {w})")).unwrap_or_default();
        Some(Write { on, tid: Some(thread.tid), goroutine: None, kernel })
    });
    by_thread.or_else(|| {
        let goroutines = process.go.iter().flat_map(|go| &go.goroutines);
        let mut parked = goroutines.filter_map(|g| {
            let awaited = g.waits_for.as_ref().filter(|w| w.direction == Direction::Write)?;
            Some(Write {
                on: output(awaited.fd)?,
                tid: None,
                goroutine: Some(g.id),
                kernel: String::new(),
            })
        });
        parked.next()
    })
}

fn is_output(d: &Descriptor) -> bool {
    match d.target {
        DescriptorTarget::Pipe(_) => d.access == Some(Access::Write),
        DescriptorTarget::Tty(_) => true,
        _ => false,
    }
}

fn told(scene: &Scene<'_>, process: &ProcessState, write: &Write<'_>) -> Option<Finding> {
    let (pid, d) = (process.pid, write.on);
    let since = scene.still_since(pid);
    if scene.is_young(pid, since) {
        return None;
    }
    let readers: Vec<Pid> = far::of(scene, process, d).iter().map(|far| far.pid).collect();
    let is_above = |reader: &&Pid| scene.session.is_below(pid, **reader);
    // go reads what its children print: where it does not, that is not the child's matter.
    if readers.iter().filter(is_above).any(|reader| scene.is_go(*reader)) {
        return None;
    }
    // A make or a shell above has the read end and may never read it; who was given it to read is the better guess.
    let reader = readers.iter().find(|reader| !is_above(reader)).or(readers.first());
    let writer = scene.name(pid);
    let (summary, what) = match (&d.target, reader) {
        (DescriptorTarget::Tty(name), _) => (
            format!("terminal {name} takes no more output of {writer}."),
            format!("terminal {name}"),
        ),
        (_, Some(reader)) => (
            format!("{} does not read what {writer} writes.", scene.command(*reader)),
            "a full pipe".to_owned(),
        ),
        (_, None) => (format!("nobody reads what {writer} writes."), "a full pipe".to_owned()),
    };
    let call = if write.goroutine.is_some() { "is parked for a write" } else { "sits in write" };
    let mut made = Draft::new(scene, "output-blocked", pid, since, summary)
        .confidence(match (reader, &d.target) {
            (None, DescriptorTarget::Pipe(_)) => Confidence::Likely,
            _ => Confidence::Certain,
        })
        .blocked(write.tid, "write", Some(d.fd))
        .seen(
            format!("{pid} {call} to {what} (fd {}){}", d.fd, write.kernel),
            scene.now,
            "snapshot",
        )
        .limit("none: a write waits for its reader");
    if let Some(goroutine) = write.goroutine {
        made = made.goroutine(goroutine, "room in a pipe");
    }
    let made = match (&d.target, reader) {
        (DescriptorTarget::Tty(_), _) => made
            .or_else("what shows the terminal is stuck")
            .remedy("in the terminal, press Ctrl-Q (Ctrl-S had halted it)", None),
        (_, Some(reader)) => {
            made.remedy("see what the reader waits for:", Some(format!("gmtrace -p {reader}")))
        }
        (_, None) => made,
    };
    let apart = format!("{} > output.txt 2>&1", scene.paste(pid));
    Some(made.remedy("or let the output go to a file:", Some(apart)).done())
}
