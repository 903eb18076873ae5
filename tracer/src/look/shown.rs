//! What a look prints, as it comes: the answer of one reading at once, and what a second one says of it below.

use crate::cli::LookOptions;
use crate::output::screen;
use gmtrace_core::report::Finding;
use gmtrace_core::report::message::{
    self, Closing, Context, attached, attached_begin, attached_corrected, attached_end,
};
use gmtrace_core::text::Escaped;
use gmtrace_core::watch::Watch;
use std::io::{IsTerminal, Write};

/// No line is longer.
const WIDEST: usize = 100;

/// Standard output.
pub struct Shown {
    look: LookOptions,
    /// Whether anything goes there at all: another format may.
    text: bool,
    /// Whether a line may stand there for a moment.
    lively: bool,
    /// The answer of the first reading, which is not complete yet.
    open: Option<Finding>,
    anything: bool,
}

impl Shown {
    /// Nothing yet.
    pub fn new(look: &LookOptions, text: bool, quiet: bool) -> Shown {
        let lively = text && !quiet && std::io::stdout().is_terminal();
        Shown { look: look.clone(), text, lively, open: None, anything: false }
    }

    /// What one reading proves, or where that is nothing, what it shows; and that a second one follows.
    pub fn first(&mut self, watch: &Watch) {
        self.open = watch.answers().into_iter().find(Watch::is_proven);
        if let Some(finding) = self.open.clone() {
            let begun = attached_begin(&finding, &self.context(watch));
            self.print(&begun);
        } else {
            watch.at_first().iter().for_each(|line| self.sentence(line));
        }
        if self.lively {
            self.write("  looking again in a second");
        }
    }

    /// What the second reading says.
    pub fn second(&mut self, watch: &Watch) {
        self.clear();
        let mut answers = watch.answers();
        if let Some(first) = self.open.take() {
            let same = answers.iter().position(|answer| Watch::same_answer(&first, answer));
            let end = match same {
                Some(at) => attached_end(&answers.remove(at), &self.context(watch)),
                None => attached_corrected(
                    "again, and it went on: nothing stalls",
                    &self.context(watch),
                ),
            };
            self.print(&end);
        }
        for answer in answers {
            self.answer(&answer, watch);
        }
        for sentence in watch.not_waiting() {
            self.sentence(&sentence);
        }
    }

    /// A whole block, behind those before it.
    pub fn answer(&mut self, finding: &Finding, watch: &Watch) {
        let block = attached(finding, &self.context(watch));
        self.part();
        self.print(&block);
    }

    /// One line.
    pub fn sentence(&mut self, text: &str) {
        self.part();
        self.print(&format!("{}\n", Escaped(text)));
    }

    /// The first answer stays as it is: there was no second reading.
    pub fn interrupted(&mut self, why: &str, command: &str, watch: &Watch) {
        self.clear();
        match self.open.take() {
            Some(_) => self.print(&attached_corrected(why, &self.context(watch))),
            None => self.sentence(&format!("{command}: {why}.")),
        }
    }

    /// `moving again after 34 s`.
    pub fn moves_again(&mut self, line: &str) {
        self.sentence(line.strip_prefix(message::PREFIX).unwrap_or(line));
    }

    fn part(&mut self) {
        if self.anything {
            self.print("\n");
        }
    }

    fn clear(&self) {
        if self.lively {
            self.write("\r\x1b[K");
        }
    }

    fn print(&mut self, text: &str) {
        self.anything = true;
        if self.text {
            self.write(text);
        }
    }

    /// A reader that has gone is no failure.
    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn context(&self, watch: &Watch) -> Context<'static> {
        let style = screen::for_stdout(&self.look);
        Context {
            width: style.width.min(WIDEST),
            color: style.palette,
            prefix: "",
            closing: Closing::Unseen(watch.unseen()),
        }
    }
}
