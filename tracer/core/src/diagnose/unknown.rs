//! # unknown: no rule explains it
//!
//! Nothing moves, or the command failed, and gmtrace does not know why. The message shows the facts: which processes there are,
//! and which system call each of their threads sits in.
//!
//! **Seen by** nothing that moved for as long as `--stall-after` says, or a command that failed, where no other code applies.
//!
//! **What to do** Look at the facts. A recording (`gmtrace report --anonymize -o hang.jsonl`) helps to make gmtrace know it the next
//! time.

use super::draft::Draft;
use super::scene::Scene;
use crate::event::{Exit, ProcessState};
use crate::report::{Confidence, Finding};
use std::collections::BTreeMap;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let pid = scene.session.root();
    if scene.is_stall() && super::child_waiting::sets_a_timer(scene) {
        return Vec::new();
    }
    if scene.is_stall() {
        let oldest = scene
            .session
            .clocks()
            .into_iter()
            .min_by_key(|p| scene.session.movement.last_moved(*p));
        return vec![stuck(scene, oldest.unwrap_or(pid))];
    }
    let exit = scene.session.end.as_ref().and_then(|e| e.exit.clone());
    let how = match exit {
        Some(Exit::Code(code)) if code != 0 => format!("ended with status {code}"),
        Some(Exit::Signal(signal)) => format!("was ended by {signal}"),
        _ => return Vec::new(),
    };
    let mut made =
        Draft::new(scene, "unknown", pid, scene.now, format!("{} {how}.", scene.words(pid)))
            .confidence(Confidence::Possible);
    for (t, _, line) in
        scene.session.output.all().rev().take(3).collect::<Vec<_>>().into_iter().rev()
    {
        made = made.seen(line.to_owned(), t, "stderr");
    }
    match scene
        .said("PTRACE_")
        .or_else(|| scene.said("ptrace"))
        .filter(|(.., line)| line.contains("ermitted"))
    {
        Some(_) => vec![
            made.fact(
                "tracer",
                ["a process has one ptrace(2) tracer at a time, and here it is gmtrace".to_owned()],
            )
            .remedy(
                "run it without gmtrace, or let gmtrace look without ptrace:",
                Some(format!("gmtrace --backend proc {}", scene.paste(pid))),
            )
            .done(),
        ],
        None => vec![made.done()],
    }
}

fn stuck(scene: &Scene<'_>, pid: crate::units::Pid) -> Finding {
    let since = scene.session.movement.last_moved(pid);
    let summary = format!(
        "{} has not moved for {}, and nothing explains it.",
        scene.command(pid),
        scene.ago(since)
    );
    let mut made =
        Draft::new(scene, "unknown", pid, since, summary).confidence(Confidence::Possible);
    for process in scene.living().filter(|p| p.in_tree).take(6) {
        made = made.seen(
            format!("{}: {}", scene.command(process.pid), calls(process)),
            scene.now,
            "snapshot",
        );
    }
    made.done()
}

/// `8 threads: 6 in futex, 1 in epoll_pwait, 1 in user code`.
fn calls(process: &ProcessState) -> String {
    let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
    for thread in &process.threads {
        let call = match (&thread.syscall, thread.state) {
            (Some(call), _) => call.name.as_str(),
            (None, 'R') => "user code",
            (None, _) => "an unreadable place",
        };
        *calls.entry(call).or_default() += 1;
    }
    if let ([_only], Some(call)) = (&process.threads[..], calls.keys().next()) {
        return format!("in {call}");
    }
    let said: Vec<String> = calls.iter().map(|(call, n)| format!("{n} in {call}")).collect();
    format!("{} threads: {}", process.threads.len(), said.join(", "))
}
