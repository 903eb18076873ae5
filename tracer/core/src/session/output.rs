//! What the processes said on standard error: evidence that no system call shows (the reason of a TLS failure under TLS 1.3).

use crate::units::{Nanos, Pid};
use std::collections::VecDeque;

/// How many lines are kept.
const KEPT_LINES: usize = 200;
/// How long a line may be.
const LINE_BYTES: usize = 2000;

/// The last lines of standard error.
#[derive(Debug, Clone, Default)]
pub struct OutputTail {
    lines: VecDeque<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    t: Nanos,
    pid: Pid,
    text: String,
    open: bool,
}

impl OutputTail {
    /// Takes one write in; a write may hold several lines, or a part of one.
    pub(super) fn push(&mut self, t: Nanos, pid: Pid, text: &str) {
        for piece in text.split_inclusive('\n') {
            let ends = piece.ends_with('\n');
            let piece = piece.trim_end_matches(['\n', '\r']);
            match self.lines.iter_mut().rev().find(|l| l.pid == pid && l.open) {
                Some(line) => {
                    line.text.push_str(piece);
                    line.open = !ends;
                    cut(&mut line.text);
                }
                None => {
                    let mut text = piece.to_owned();
                    cut(&mut text);
                    self.lines.push_back(Line { t, pid, text, open: !ends });
                }
            }
        }
        while self.lines.len() > KEPT_LINES {
            self.lines.pop_front();
        }
    }

    /// The lines of `pid`, oldest first.
    pub fn of(&self, pid: Pid) -> impl DoubleEndedIterator<Item = (Nanos, &str)> {
        self.lines.iter().filter(move |l| l.pid == pid).map(|l| (l.t, l.text.as_str()))
    }

    /// All lines, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = (Nanos, Pid, &str)> {
        self.lines.iter().map(|l| (l.t, l.pid, l.text.as_str()))
    }

    /// The newest line that contains `what`.
    pub fn find(&self, what: &str) -> Option<(Nanos, Pid, &str)> {
        self.all().rev().find(|(_, _, text)| text.contains(what))
    }
}

fn cut(text: &mut String) {
    if text.len() > LINE_BYTES {
        let mut at = LINE_BYTES;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
    }
}
