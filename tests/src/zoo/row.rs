//! What becomes of a scenario in one way of looking: a line of JSON, in the file that `GMTRACE_ZOO_ROWS` names.
//!
//! The line tells the verdict of the first answer that the scenario looks at or, where an expectation does not hold, of the answer
//! that breaks it.

use std::any::Any;
use std::cell::RefCell;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::Looking;

/// So many bytes of a text are kept, and so many expectations.
const TEXT: usize = 4000;
const BLAMES: usize = 40;
/// So many lines of a failure are said at once.
const LINES_SAID: usize = 20;

/// What is known of it so far.
#[derive(Debug)]
pub(super) struct Row {
    test: String,
    looking: Looking,
    missed: Option<&'static str>,
    began: Instant,
    told: RefCell<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// How many answers there were.
    answers: usize,
    verdict: Option<Verdict>,
    skipped: Option<String>,
}

#[derive(Debug)]
struct Verdict {
    answer: usize,
    expected: String,
    right: bool,
    finding: Value,
    go: Value,
    blames: Vec<Blame>,
    after: Option<Duration>,
}

/// A word about the culprit.
#[derive(Debug)]
pub(super) struct Blame {
    pub(super) what: &'static str,
    pub(super) expected: String,
    pub(super) given: Value,
    pub(super) right: bool,
}

/// The place of an answer in its row.
#[derive(Debug, Clone)]
pub(super) struct Place {
    row: std::rc::Rc<Row>,
    answer: usize,
    /// From the threshold, or the attach, to the answer.
    after: Option<Duration>,
}

impl Row {
    pub(super) fn new(test: &str, looking: Looking, missed: Option<&'static str>) -> Self {
        let told = RefCell::default();
        Self { test: test.to_owned(), looking, missed, began: Instant::now(), told }
    }

    pub(super) fn skip(&self, why: &str) {
        self.told.borrow_mut().skipped = Some(why.to_owned());
    }

    pub(super) fn is_skipped(&self) -> bool {
        self.told.borrow().skipped.is_some()
    }

    /// Whether anything was expected of any answer.
    pub(super) fn has_verdict(&self) -> bool {
        self.told.borrow().verdict.is_some()
    }

    /// Writes the line of what became of the scenario.
    pub(super) fn write(&self, outcome: &thread::Result<Result<()>>) -> Result<()> {
        append(&self.line(outcome))
    }

    /// Writes that the scenario cannot be looked at in this way.
    pub(super) fn leave_out(&self, why: &str) -> Result<()> {
        append(&self.about("not-applicable", Some(why)))
    }

    /// Says at once why it failed, beside libtest's line that it did: libtest tells the reason at the end of all tests, which is long
    /// after. Not by println!, whose words libtest keeps until then.
    pub(super) fn say_failure(&self, outcome: &thread::Result<Result<()>>) -> Result<()> {
        let Some(failure) = failure_of(outcome) else { return Ok(()) };
        let first: Vec<&str> = failure.lines().take(LINES_SAID).collect();
        let (test, way) = (&self.test, self.looking.name());
        let text = format!("{test}::{way} failed:\n{}\n", first.join("\n"));
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }

    fn line(&self, outcome: &thread::Result<Result<()>>) -> Value {
        let told = self.told.borrow();
        let failure = failure_of(outcome);
        let state = match (&failure, &told.skipped) {
            (Some(_), _) => "wrong",
            (None, Some(_)) => "skipped",
            (None, None) => "right",
        };
        let why = failure.as_ref().or(told.skipped.as_ref());
        let mut line = self.about(state, why.map(String::as_str));
        if let Some(verdict) = &told.verdict {
            verdict.tell(&mut line);
        }
        line
    }

    fn about(&self, outcome: &str, why: Option<&str>) -> Value {
        json!({
            "test": self.test, "way": self.looking.name(), "outcome": outcome,
            "why": why.map(bounded), "missed": self.missed, "wall_seconds": self.began.elapsed().as_secs_f64(),
        })
    }
}
impl Verdict {
    /// Wrong is one that is another than expected. A word that is missing leaves something about the right one untold.
    fn culprit(&self) -> &'static str {
        let wrong: Vec<&Blame> = self.blames.iter().filter(|blame| !blame.right).collect();
        match wrong.iter().all(|blame| blame.what == "says") {
            _ if wrong.is_empty() => "right",
            true => "untold",
            false => "wrong",
        }
    }

    fn tell(&self, line: &mut Value) {
        let blames = self.blames.iter().map(|blame| {
            json!({
                "what": blame.what, "expected": bounded(&blame.expected),
                "given": blame.given, "right": blame.right,
            })
        });
        let finding = &self.finding;
        line["go"] = self.go.clone();
        line["expected"] = json!(self.expected);
        line["given"] = json!({
            "code": finding["code"], "state": finding["state"],
            "confidence": finding["confidence"], "summary": finding["summary"],
        });
        line["blame"] = blames.collect();
        line["culprit"] = json!(self.right.then(|| self.culprit()));
        line["seconds"] = json!(self.after.map(|after| after.as_secs_f64()));
    }
}

impl Place {
    /// The place of another answer.
    pub(super) fn next(row: &std::rc::Rc<Row>, after: Option<Duration>) -> Self {
        let mut told = row.told.borrow_mut();
        told.answers += 1;
        Self { row: std::rc::Rc::clone(row), answer: told.answers, after }
    }

    /// A code was expected, and this was the first finding.
    pub(super) fn code(&self, expected: &str, finding: &Value, go: &Value) {
        let right = finding["code"] == expected || (expected == NOTHING && finding.is_null());
        let mut told = self.row.told.borrow_mut();
        if told.verdict.is_none() || !right {
            told.verdict = Some(Verdict {
                answer: self.answer,
                expected: expected.to_owned(),
                right,
                finding: finding.clone(),
                go: go.clone(),
                blames: Vec::new(),
                after: self.after,
            });
        }
    }

    /// A word was expected of a finding.
    pub(super) fn blame(&self, finding: &Value, go: &Value, blame: Blame) {
        let code = finding["code"].as_str().unwrap_or_default();
        let about_this = |verdict: &Verdict| {
            verdict.answer == self.answer && verdict.expected == code && verdict.right
        };
        let mut told = self.row.told.borrow_mut();
        match told.verdict.as_mut().filter(|verdict| about_this(verdict)) {
            Some(verdict) if verdict.blames.len() < BLAMES || !blame.right => {
                verdict.blames.push(blame);
            }
            None if !blame.right => {
                told.verdict = Some(Verdict {
                    answer: self.answer,
                    expected: code.to_owned(),
                    right: true,
                    finding: finding.clone(),
                    go: go.clone(),
                    blames: vec![blame],
                    after: self.after,
                });
            }
            _ => {}
        }
    }
}

/// What is expected where nothing hangs.
pub(super) const NOTHING: &str = "nothing";

/// Adds a line to the file, where somebody wants it.
fn append(line: &Value) -> Result<()> {
    let Some(file) = std::env::var_os("GMTRACE_ZOO_ROWS") else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    // One write(2) to a file open for appending: those of other processes come before or after it.
    Ok(file.write_all(format!("{line}\n").as_bytes())?)
}

/// Why a scenario failed, where it did.
fn failure_of(outcome: &thread::Result<Result<()>>) -> Option<String> {
    match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(panic) => Some(words_of(panic.as_ref())),
    }
}

/// What a test that ended by a panic said.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

fn bounded(text: &str) -> &str {
    let end = (0..=TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
