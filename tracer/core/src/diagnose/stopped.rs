//! # stopped: stopped by a signal or by the terminal
//!
//! The process does not run: someone sent SIGSTOP, pressed Ctrl-Z, or it touched the terminal from the background (SIGTTIN,
//! SIGTTOU).
//!
//! **Seen by** state `T` in `/proc/PID/stat`, and the signal that did it where it was seen.
//!
//! **What to do** `fg` in its shell, or `kill -CONT PID`. What was stopped for reading the terminal asks something there: without `fg` it
//! stops again.

use super::draft::Draft;
use super::scene::Scene;
use crate::event::ProcessState;
use crate::report::Finding;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    scene
        .living()
        .filter(|p| is_stopped(scene, p))
        .map(|p| {
            let seen = scene.session.process(p.pid).and_then(|p| p.stopped.clone());
            let since = seen.as_ref().map_or(scene.now, |(t, _)| *t);
            let signal = seen.map(|(_, signal)| signal);
            let why = match signal.as_deref() {
                Some("SIGTTIN") => " for reading the terminal from the background",
                Some("SIGTTOU") => " for writing to the terminal from the background",
                Some("SIGTSTP") => " from the terminal (Ctrl-Z)",
                Some(_) => " by a signal",
                None => "",
            };
            let summary = format!("{} is stopped{why}.", scene.command(p.pid));
            let by = signal.as_ref().map(|s| format!(", by {s}")).unwrap_or_default();
            let made = Draft::new(scene, "stopped", p.pid, since, summary)
                .seen(format!("the process is stopped{by}"), since, "snapshot")
                .limit("none: it runs when it is told to");
            let go_on = Some(format!("kill -CONT {}", p.pid));
            match signal.as_deref() {
                Some("SIGTTIN") => made
                    .remedy("fg in its shell, and type what it asks for", None)
                    .remedy("(until it reads the terminal again, this helps too:)", go_on)
                    .done(),
                _ => made.remedy("fg in its shell, or", go_on).done(),
            }
        })
        .collect()
}

/// A tracee that is stopped by a signal is in state `t`, as it is in each of its stops: there only the event tells
/// (ptrace(2), "Group-stop").
fn is_stopped(scene: &Scene<'_>, process: &ProcessState) -> bool {
    let told = || scene.session.process(process.pid).is_some_and(|p| p.stopped.is_some());
    process.state == 'T' || process.state == 't' && told()
}
