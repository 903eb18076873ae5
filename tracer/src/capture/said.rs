//! What a process writes to standard error, put together to lines.
//!
//! A secret that is written in two pieces shows in neither (`https://user:pass`, `word@host`), so credentials are taken out of
//! whole lines: what follows the last end of a line is kept back until the line ends, until its writer has been silent for a
//! moment (a prompt has no end), becomes another program, or ends.

use gmtrace_core::redact;
use gmtrace_core::units::{Fd, Nanos};

/// Bytes of one write that are looked at, and of an unfinished line that are kept back.
pub(crate) const KEPT: usize = 4096;
/// How long an unfinished line is kept back.
pub(crate) const PATIENCE: Nanos = Nanos::from_millis(200);
/// Standard error.
pub(crate) const STDERR: Fd = Fd(2);

/// The unfinished line of a process.
#[derive(Debug, Default)]
pub(crate) struct Said {
    line: Vec<u8>,
    /// When its last piece came.
    since: Nanos,
}

/// What may be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Without what is secret in it.
    pub(crate) text: String,
    /// Whether some of it was left out.
    pub(crate) truncated: bool,
}

impl Said {
    /// Takes in the first bytes of a write, all of them unless it was `cut`. Gives back what has become whole.
    pub(crate) fn add(&mut self, written: &[u8], cut: bool, now: Nanos) -> Whole {
        self.since = now;
        self.line.extend_from_slice(written);
        // A carriage return ends what a progress bar says.
        let end = self.line.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        let rest = self.line.split_off(end.map_or(0, |end| end + 1));
        let (mut bytes, mut truncated) = (std::mem::replace(&mut self.line, rest), cut);
        if cut {
            bytes.extend(self.but_the_last_word());
            self.line.clear();
        } else if self.line.len() > KEPT {
            bytes.extend(self.but_the_last_word());
            if self.line.len() > KEPT {
                self.line.clear();
                truncated = true;
            }
        }
        Whole { text: redacted(&bytes), truncated }
    }

    /// Takes the unfinished line out; none where there is none.
    pub(crate) fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        (!line.is_empty()).then(|| redacted(&line))
    }

    /// Whether a line is unfinished.
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.line.is_empty()
    }

    /// Whether its writer has been silent for a moment.
    pub(crate) fn is_old(&self, now: Nanos) -> bool {
        now.since(self.since) >= PATIENCE
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

#[cfg(test)]
mod tests {
    use super::*;

    fn add(said: &mut Said, written: &str, cut: bool) -> (String, bool) {
        let Whole { text, truncated } = said.add(written.as_bytes(), cut, Nanos(0));
        (text, truncated)
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let mut said = Said::default();
        assert_eq!(add(&mut said, "one\nhttps://user:pass", false), ("one\n".into(), false));
        assert_eq!(add(&mut said, "word@proxy.", false), (String::new(), false));
        let (line, _) = add(&mut said, "example.com\nthree", false);
        assert!(line.ends_with("@proxy.example.com\n") && !line.contains("password"), "{line}");
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
