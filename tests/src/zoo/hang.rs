//! A command that a scenario has started, whichever way gmtrace looks at it.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::unistd::Pid;
use serde_json::json;

use super::row::{Place, Row};
use super::{Answer, Found, Hung, Watched, attached};
use crate::processes::await_that;

/// A command that runs, under gmtrace or alone.
#[derive(Debug)]
pub struct Hang {
    command: Command,
    row: Option<Rc<Row>>,
}

#[derive(Debug)]
enum Command {
    Watched(Watched),
    Alone(Hung),
}

impl Hang {
    pub(super) fn watched(watched: Watched, row: Option<Rc<Row>>) -> Self {
        Self { command: Command::Watched(watched), row }
    }

    pub(super) fn alone(hung: Hung, row: Option<Rc<Row>>) -> Self {
        Self { command: Command::Alone(hung), row }
    }

    /// The command's process id, once it has one.
    ///
    /// # Errors
    /// When gmtrace starts none.
    pub fn command(&self) -> Result<Pid> {
        match &self.command {
            Command::Watched(watched) => watched.command(),
            Command::Alone(hung) => Ok(hung.pid()),
        }
    }

    /// What gmtrace says of the hang: as soon as it tells a stall, where it watches; else by a look from outside.
    ///
    /// # Errors
    /// When it says nothing, or what it wrote does not hold.
    pub fn stalls(&self) -> Result<Answer> {
        match &self.command {
            Command::Watched(watched) => {
                let answer = watched.stalls()?;
                let after = after_the_threshold(&answer, watched.threshold());
                Ok(self.placed(answer, after))
            }
            Command::Alone(hung) => {
                let (answer, took) = attached::look_for(&[hung.pid()])?;
                Ok(self.placed(answer, Some(took)))
            }
        }
    }

    /// What gmtrace says once `text` stands in its answer, which may change while the hang comes about. From outside, it is looked at
    /// once.
    ///
    /// # Errors
    /// As [`Hang::stalls`].
    pub fn stalls_saying(&self, text: &str) -> Result<Answer> {
        if let Command::Watched(watched) = &self.command {
            watched.wait_for_verdict(text)?;
        }
        self.stalls()
    }

    /// Expects that nothing hangs. Where gmtrace watches, that is known at the end, which must be a good one; else it looks again
    /// and again until then.
    ///
    /// # Errors
    /// When the end is a bad one, or came before any look.
    pub fn works(self) -> Result<Ended> {
        let hung = match &self.command {
            Command::Watched(_) => {
                let ended = self.succeeds()?;
                ended.no_stall();
                return Ok(ended);
            }
            Command::Alone(hung) => hung,
        };
        let mut looks = 0;
        while let Some((answer, took)) = attached::look_while_alive(hung)? {
            self.placed(answer, Some(took)).works();
            looks += 1;
        }
        ensure!(looks > 0, "it ended before anyone could look");
        self.succeeds()
    }

    /// Expects that nothing hangs in what has no end: one that was started by [`Way::run_for`](super::Way::run_for) until it is
    /// ended, any other at a look.
    ///
    /// # Errors
    /// As [`Hang::stalls`].
    pub fn works_on(self) -> Result<Answer> {
        let Self { command, row } = self;
        let answer = match command {
            Command::Watched(watched) => watched.fails()?,
            Command::Alone(hung) => {
                let (answer, took) = attached::look_for(&[hung.pid()])?;
                let answer = answer.placed(row.map(|row| Place::next(&row, Some(took))));
                answer.works();
                hung.end()?;
                return Ok(answer);
            }
        };
        let answer = answer.placed(row.map(|row| Place::next(&row, None)));
        answer.no_stall();
        Ok(answer)
    }

    /// Waits until gmtrace says `text` later, where it watches.
    ///
    /// # Errors
    /// When it does not.
    pub fn says(&self, text: &str) -> Result<()> {
        match &self.command {
            Command::Watched(watched) => watched.wait_for_stderr(text).map(drop),
            Command::Alone(_) => Ok(()),
        }
    }

    /// The first line that the command prints, once it has.
    ///
    /// # Errors
    /// When it prints none.
    pub fn wait_for_line(&self) -> Result<String> {
        let running = match &self.command {
            Command::Watched(watched) => watched.running(),
            Command::Alone(hung) => hung.running(),
        };
        await_that("a line is printed", || {
            let printed = running.stdout().ok()?;
            printed.split_once('\n').map(|(line, _)| line.to_owned())
        })
    }

    /// Types at the command's terminal.
    ///
    /// # Errors
    /// When it has none.
    pub fn types(&self, keys: &str) -> Result<()> {
        match &self.command {
            Command::Watched(watched) => watched.types(keys),
            Command::Alone(hung) => hung.types(keys),
        }
    }

    /// Waits until the command's terminal no longer shows what is typed.
    ///
    /// # Errors
    /// As [`crate::go::Running::wait_for_secret`].
    pub fn wait_for_secret(&self) -> Result<()> {
        match &self.command {
            Command::Watched(watched) => watched.wait_for_secret(),
            Command::Alone(hung) => hung.wait_for_secret(),
        }
    }

    /// Ends the command: as a person would, by a signal to gmtrace, where it watches.
    ///
    /// # Errors
    /// When it does not end by that, or the files do not hold what they promise.
    pub fn stop(self) -> Result<Ended> {
        let Self { command, row } = self;
        match command {
            Command::Watched(watched) => Ok(Ended::with(watched.stop()?, row)),
            Command::Alone(hung) => hung.end().map(|_| Ended(None)),
        }
    }

    /// Waits for its end, which must be one in failure.
    ///
    /// # Errors
    /// When it ends well, or the files do not hold what they promise.
    pub fn fails(self) -> Result<Ended> {
        let Self { command, row } = self;
        match command {
            Command::Watched(watched) => Ok(Ended::with(watched.fails()?, row)),
            Command::Alone(hung) => hung.fails().map(|()| Ended(None)),
        }
    }

    /// Waits for its end, which must be a good one.
    ///
    /// # Errors
    /// When it fails, or the files do not hold what they promise.
    pub fn succeeds(self) -> Result<Ended> {
        let Self { command, row } = self;
        match command {
            Command::Watched(watched) => Ok(Ended::with(watched.succeeds()?, row)),
            Command::Alone(hung) => hung.succeeds().map(|()| Ended(None)),
        }
    }

    fn placed(&self, answer: Answer, after: Option<Duration>) -> Answer {
        answer.placed(self.row.as_ref().map(|row| Place::next(row, after)))
    }
}

/// From the moment at which a stall is to be told to that at which it was.
fn after_the_threshold(answer: &Answer, threshold: Option<Duration>) -> Option<Duration> {
    let moved = answer.timeline["stalls"].as_array()?.last()?["start_ns"].as_u64()?;
    let told = answer.timeline["command"]["duration_ns"].as_u64()?;
    Duration::from_nanos(told).checked_sub(Duration::from_nanos(moved) + threshold?)
}

/// A command that has ended. Where gmtrace watched it, it has said something at the end; where it looked from outside, it was gone by
/// then, and nothing can be expected of it.
#[derive(Debug)]
pub struct Ended(Option<Answer>);

impl Ended {
    fn with(answer: Answer, row: Option<Rc<Row>>) -> Self {
        Self(Some(answer.placed(row.map(|row| Place::next(&row, None)))))
    }

    /// What gmtrace said at the end, where it watched.
    pub fn answer(&self) -> Option<&Answer> {
        self.0.as_ref()
    }

    /// As [`Answer::expect`].
    pub fn expect(&self, code: &str) -> Found<'_> {
        self.answer().map_or(Found::UNSEEN, |answer| answer.expect(code))
    }

    /// As [`Answer::also`].
    pub fn also(&self, code: &str) -> Found<'_> {
        self.answer().map_or(Found::UNSEEN, |answer| answer.also(code))
    }

    /// As [`Answer::never`].
    pub fn never(&self, code: &str) -> &Self {
        self.check(|answer| {
            answer.never(code);
        })
    }

    /// As [`Answer::no_stall`].
    pub fn no_stall(&self) -> &Self {
        self.check(|answer| {
            answer.no_stall();
        })
    }

    /// Expects that nothing at all was found.
    pub fn no_finding(&self) -> &Self {
        self.check(|answer| {
            assert_eq!(answer.timeline["findings"], json!([]), "{answer}");
        })
    }

    /// Expects that so many stalls were told.
    pub fn stalled(&self, times: usize) -> &Self {
        self.check(|answer| {
            let told = answer.timeline["stalls"].as_array().map_or(0, Vec::len);
            assert_eq!(told, times, "{answer}");
        })
    }

    /// Expects that gmtrace wrote this.
    pub fn wrote(&self, text: &str) -> &Self {
        self.check(|answer| assert!(answer.stderr.contains(text), "{answer}"))
    }

    /// Expects that gmtrace keeps this to itself.
    pub fn keeps_secret(&self, secret: &str) -> &Self {
        self.check(|answer| {
            assert!(!answer.timeline.to_string().contains(secret), "{answer}");
        })
    }

    fn check(&self, expectation: impl FnOnce(&Answer)) -> &Self {
        if let Some(answer) = self.answer() {
            expectation(answer);
        }
        self
    }
}
