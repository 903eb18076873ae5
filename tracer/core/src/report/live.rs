//! The one line on a terminal while the command is silent.

use super::layout::{about, plain};
use super::message::PREFIX;
use crate::text::{bytes, count, cut_middle, width};
use crate::units::Nanos;

/// What the live line tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveState {
    /// Since the start.
    pub elapsed: Nanos,
    /// Modules finished, where they can be told.
    pub modules_done: u64,
    /// Modules being worked on, where they can be told.
    pub modules_in_flight: u64,
    /// Bytes received.
    pub bytes: u64,
    /// What is being waited for, and for how long.
    pub waiting: Option<(String, Nanos)>,
}

/// `gmtrace: 12 modules done, 3 in flight, 4.1 MB, 8 s; waiting for proxy.example.com, 3 s`: one line that leaves the last
/// of `columns` free, because a terminal may wrap once it is filled. The name is cut before anything else is.
pub fn live_line(state: &LiveState, columns: usize) -> String {
    let columns = columns.saturating_sub(1);
    let mut line = format!("{PREFIX}{}", progress(state));
    if let Some((whom, since)) = &state.waiting {
        let lead = "; waiting for ";
        let time = format!(", {}", about(*since));
        let room = columns.saturating_sub(width(&line) + width(lead) + width(&time));
        if room >= 8 {
            line.push_str(&format!("{lead}{}{time}", cut_middle(&plain(whom), room)));
        }
    }
    cut_middle(&line, columns).into_owned()
}

fn progress(state: &LiveState) -> String {
    let mut parts = Vec::new();
    if state.modules_done > 0 {
        parts.push(format!("{} done", count(state.modules_done, "module", "modules")));
    }
    match (state.modules_in_flight, state.modules_done) {
        (0, _) => {}
        (flying, 0) => parts.push(format!("{} in flight", count(flying, "module", "modules"))),
        (flying, _) => parts.push(format!("{flying} in flight")),
    }
    if state.bytes > 0 {
        parts.push(bytes(state.bytes));
    }
    parts.push(about(state.elapsed));
    parts.join(", ")
}
