//! What a process writes to standard error, put together to lines.
//!
//! A secret that is written in two pieces shows in neither (`https://user:pass`, `word@host`), so credentials are taken out of
//! whole lines: what follows the last end of a line is kept back until the line ends, until its writer has been silent for a
//! moment (a prompt has no end), becomes another program, or ends.

use super::engine::Engine;
use super::sys;
use gmtrace_core::event::What;
use gmtrace_core::redact;
use gmtrace_core::units::{Fd, Nanos, Pid, Tid};

/// Bytes of one write that are looked at, and of an unfinished line that are kept back.
pub(super) const KEPT: usize = 4096;
/// How long an unfinished line is kept back.
const PATIENCE: Nanos = Nanos::from_millis(200);
/// Standard error.
pub(super) const STDERR: Fd = Fd(2);

/// The unfinished line of a process.
#[derive(Debug, Default)]
pub(super) struct Said {
    line: Vec<u8>,
    /// When its last piece came.
    since: Nanos,
}

/// What may be told.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    bytes: Vec<u8>,
    /// Whether some of it was left out.
    truncated: bool,
}

impl Said {
    /// Takes in the first bytes of a write, all of them unless it was `cut`. Gives back what has become whole.
    fn add(&mut self, written: &[u8], cut: bool, now: Nanos) -> Whole {
        self.since = now;
        self.line.extend_from_slice(written);
        // A carriage return ends what a progress bar says.
        let end = self.line.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        let rest = self.line.split_off(end.map_or(0, |end| end + 1));
        let mut whole = Whole { bytes: std::mem::replace(&mut self.line, rest), truncated: cut };
        if cut {
            whole.bytes.extend(self.but_the_last_word());
            self.line.clear();
        } else if self.line.len() > KEPT {
            whole.bytes.extend(self.but_the_last_word());
            if self.line.len() > KEPT {
                self.line.clear();
                whole.truncated = true;
            }
        }
        whole
    }

    /// Takes out all but the last word: what of that is there may be the half of a secret.
    fn but_the_last_word(&mut self) -> Vec<u8> {
        let blank = self.line.iter().rposition(u8::is_ascii_whitespace);
        let rest = self.line.split_off(blank.map_or(0, |blank| blank + 1));
        std::mem::replace(&mut self.line, rest)
    }
}

/// What was written, without what is secret in it.
fn redacted(bytes: &[u8]) -> String {
    redact::text(&String::from_utf8_lossy(bytes)).into_owned()
}

impl Engine {
    /// A write to standard error. Told even where no line has ended by it: that it was written is seen on the screen.
    pub(super) fn said(
        &mut self,
        (pid, tid): (Pid, Tid),
        written: &[u8],
        cut: bool,
        ends_line: bool,
    ) {
        let now = self.clock.now();
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Whole { bytes, truncated } = process.said.add(written, cut, now);
        if !process.said.line.is_empty() && !self.unfinished.contains(&pid) {
            self.unfinished.push(pid);
            self.set_alarm();
        }
        let text = redacted(&bytes);
        self.tell(pid, tid, What::Output { fd: STDERR, text, truncated, ends_line });
    }

    /// A process ends or becomes another program: tells the line that it did not finish.
    pub(super) fn say_the_rest(&mut self, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let line = std::mem::take(&mut process.said.line);
        self.unfinished.retain(|other| *other != pid);
        if !line.is_empty() {
            let text = redacted(&line);
            let what = What::Output { fd: STDERR, text, truncated: false, ends_line: false };
            self.tell(pid, pid.into(), what);
        }
    }

    /// Tells the unfinished lines whose writers have been silent for a moment.
    pub(super) fn say_old_lines(&mut self, now: Nanos) {
        for pid in std::mem::take(&mut self.unfinished) {
            let said = self.processes.get(&pid).map(|process| &process.said);
            let Some(said) = said.filter(|said| !said.line.is_empty()) else { continue };
            if now.since(said.since) >= PATIENCE {
                self.say_the_rest(pid);
            } else {
                self.unfinished.push(pid);
            }
        }
    }

    /// Has the thread woken while there is something to look after: windows, or unfinished lines.
    pub(super) fn set_alarm(&mut self) {
        let every = match (self.windows.is_empty(), self.unfinished.is_empty()) {
            (false, _) => super::window::TICK,
            (true, false) => PATIENCE,
            (true, true) => Nanos(0),
        };
        if every != std::mem::replace(&mut self.alarm, every) {
            sys::set_alarm((every.0 / 1_000_000) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(said: &mut Said, written: &str, cut: bool) -> (String, bool) {
        let Whole { bytes, truncated } = said.add(written.as_bytes(), cut, Nanos(0));
        (String::from_utf8(bytes).unwrap(), truncated)
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let mut said = Said::default();
        assert_eq!(add(&mut said, "one\nhttps://user:pass", false), ("one\n".into(), false));
        assert_eq!(add(&mut said, "word@proxy.", false), (String::new(), false));
        let (line, _) = add(&mut said, "example.com\nthree", false);
        assert_eq!(line, "https://user:password@proxy.example.com\n");
        assert!(!redacted(line.as_bytes()).contains("password"));
        assert_eq!(said.line, b"three");
    }

    #[test]
    fn a_bar_is_said_as_it_is_drawn() {
        let mut said = Said::default();
        assert_eq!(add(&mut said, "10%\r20", false), ("10%\r".into(), false));
        assert_eq!(said.line, b"20");
    }

    #[test]
    fn of_a_cut_write_the_broken_word_is_left_out() {
        let mut said = Said::default();
        let cut = add(&mut said, "a\nfetching https://user:pass", true);
        assert_eq!(cut, ("a\nfetching ".into(), true));
        assert_eq!(said.line, b"");
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut said = Said::default();
        for _ in 0..KEPT {
            add(&mut said, "word ", false);
            assert!(said.line.len() <= KEPT);
        }
        let mut said = Said::default();
        let truncated = (0..3000).filter(|_| add(&mut said, "wwww", false).1).count();
        assert_eq!(truncated, 2, "a word of 12000 bytes");
    }
}
