//! What gmtrace said.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::Found;
use super::row::{NOTHING, Place};
use crate::go::Finished;

/// So many events, the last, are shown where an expectation does not hold.
const EVENTS_TOLD: usize = 200;

/// What gmtrace said about a run: its timeline, and its words.
#[derive(Debug)]
pub struct Answer {
    /// The timeline (`run.json`).
    pub timeline: Value,
    /// What stood on standard error by then, the command's own words included.
    pub stderr: String,
    /// What happened, of a run that has ended.
    recording: String,
    place: Option<Place>,
}

impl Answer {
    pub(super) fn new(timeline: &str, stderr: String) -> Result<Self> {
        let timeline = serde_json::from_str(timeline).context("the timeline")?;
        agrees(&timeline, schema("timeline")).context("the timeline and its schema")?;
        Ok(Self { timeline, stderr, recording: String::new(), place: None })
    }

    /// The answer of a run that has ended, after a look at everything it left.
    pub(super) fn of(finished: &Finished) -> Result<Self> {
        let text = finished.timeline.as_deref();
        let text = text.with_context(|| format!("no timeline: {}", finished.stderr))?;
        let recording = finished.recording.as_deref().context("no recording")?;
        let answer = Self::new(text, finished.stderr.clone())?;
        let answer = Self { recording: recording.to_owned(), ..answer };
        ensure!(answer.timeline["complete"] == true, "the last timeline is not complete");
        for (number, line) in recording.lines().enumerate() {
            let record = serde_json::from_str(line)?;
            agrees(&record, schema("recording"))
                .with_context(|| format!("line {} of the recording: {line}", number + 1))?;
        }
        let again = replay(recording)?;
        answer.note()?;
        answer.keep()?;
        let (first, then) = (answer.culprits(), again.culprits());
        ensure!(first == then, "the run said\n{first:#}\nits recording says\n{then:#}\n{answer:#}");
        Ok(answer)
    }

    /// What must not change between a run and its recording.
    fn culprits(&self) -> Value {
        let key = |f: &Value| {
            json!([
                f["code"],
                f["symptom"],
                f["state"],
                f["role"],
                f["peer"]["host"],
                f["peer"]["address"],
                f["lock"]["path"],
                f["modules"],
                f["blocked"]["path"]
            ])
        };
        self.findings().iter().map(key).collect()
    }

    fn findings(&self) -> &[Value] {
        self.timeline["findings"].as_array().map_or(&[], Vec::as_slice)
    }

    /// What happened, of a run that has ended.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn events(&self) -> Result<Vec<Value>> {
        self.recording.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The same answer, as one of a row.
    pub(super) fn placed(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// Its place in a row, and the version of go that it is about.
    pub(super) fn place(&self) -> Option<(&Place, &Value)> {
        Some((self.place.as_ref()?, &self.timeline["go"]["version"]))
    }

    fn tell(&self, expected: &str, finding: Option<&Value>) {
        if let Some((place, go)) = self.place() {
            place.code(expected, finding.unwrap_or(&Value::Null), go);
        }
    }

    /// Expects this code in the verdict: the first finding.
    pub fn expect(&self, code: &str) -> Found<'_> {
        let first = self.findings().first();
        self.tell(code, first);
        let Some(finding) = first else {
            panic!("expected {code}, found nothing:\n{self:#}");
        };
        let given = finding["code"].as_str().unwrap_or_default();
        assert!(given == code, "expected {code}, given {given}:\n{self:#}");
        Found::new(finding, self)
    }

    /// Expects a finding of this code anywhere.
    pub fn also(&self, code: &str) -> Found<'_> {
        let Some(finding) = self.findings().iter().find(|finding| finding["code"] == code) else {
            panic!("expected {code} among the findings:\n{self:#}");
        };
        Found::new(finding, self)
    }

    /// Expects that no finding has this code.
    pub fn never(&self, code: &str) -> &Self {
        assert!(self.findings().iter().all(|finding| finding["code"] != code), "{code}:\n{self:#}");
        self
    }

    /// Expects that nothing stalled.
    pub fn no_stall(&self) -> &Self {
        let stalled =
            |finding: &&Value| matches!(finding["state"].as_str(), Some("stalled" | "slow"));
        let excused = |finding: &&Value| finding["code"] == "body-slow";
        let alarm = self.findings().iter().filter(stalled).find(|finding| !excused(finding));
        let told = self.timeline["stalls"] != json!([]);
        self.tell(NOTHING, alarm.or_else(|| self.findings().first().filter(|_| told)));
        let verdict = &self.timeline["verdict"]["summary"];
        assert!(!told, "a stall was told: {verdict}\n{self:#}");
        assert!(alarm.is_none(), "a stall was found: {verdict}\n{self:#}");
        self
    }

    /// Expects that what was looked at works, or waits for nothing.
    pub fn works(&self) -> &Self {
        self.no_stall();
        assert_eq!(self.timeline["verdict"]["state"], "ok", "{self:#}");
        self
    }

    /// Adds what was said to the file that `GMTRACE_ZOO_SAID` names: for a person who wants to read all messages.
    pub(super) fn note(&self) -> Result<()> {
        let Some(file) = std::env::var_os("GMTRACE_ZOO_SAID") else { return Ok(()) };
        let mut file = fs::OpenOptions::new().create(true).append(true).open(file)?;
        let test = thread::current().name().unwrap_or_default().to_owned();
        Ok(file.write_all(format!("=== {test}\n{}\n", self.stderr).as_bytes())?)
    }

    /// Keeps the recording, made anonymous, in the folder that `GMTRACE_ZOO_RECORDINGS` names: for `tests/recordings/zoo`. Of several
    /// that a scenario makes, the last one stays.
    fn keep(&self) -> Result<()> {
        let Some(folder) = std::env::var_os("GMTRACE_ZOO_RECORDINGS") else { return Ok(()) };
        let test = thread::current().name().unwrap_or_default().replace("::", ".");
        let text = rendered(&self.recording, &["--anonymize", "-F", "jsonl"])?;
        // A checkout may lie below names that are no secret to the anonymizer, such as `work`.
        let text = text.replace(&*checkout().to_string_lossy(), "/checkout");
        Ok(fs::write(Path::new(&folder).join(test + ".jsonl"), text)?)
    }
}

/// For people: the findings, what was said, and what happened.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let findings = &self.timeline["findings"];
        writeln!(f, "{findings:#}\nstalls {}\n{}", self.timeline["stalls"], self.stderr)?;
        let long = |line: &&str| line.contains(r#""type":"snapshot""#);
        let events: Vec<&str> = self.recording.lines().filter(|line| !long(line)).collect();
        let told = events.len().saturating_sub(EVENTS_TOLD);
        events.iter().skip(told).try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The timeline of a recording.
fn replay(recording: &str) -> Result<Answer> {
    Answer::new(&rendered(recording, &["-F", "json"])?, String::new())
}

/// The folder of the workspace.
fn checkout() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// What `gmtrace report` makes of a recording.
fn rendered(recording: &str, options: &[&str]) -> Result<String> {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile()?;
    file.write_all(recording.as_bytes())?;
    let output = Command::new(crate::go::gmtrace()?)
        .arg("report")
        .args(options)
        .arg(file.path())
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "gmtrace report: {stderr}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The schema that gmtrace prints, compiled once.
pub(crate) fn schema(name: &str) -> &'static Validator {
    static TIMELINE: OnceLock<Validator> = OnceLock::new();
    static RECORDING: OnceLock<Validator> = OnceLock::new();
    let cell = if name == "timeline" { &TIMELINE } else { &RECORDING };
    cell.get_or_init(|| {
        print_schema(name).unwrap_or_else(|error| panic!("schema {name}: {error:#}"))
    })
}

fn print_schema(name: &str) -> Result<Validator> {
    let output = Command::new(crate::go::gmtrace()?).args(["schema", name]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(jsonschema::validator_for(&serde_json::from_slice(&output.stdout)?)?)
}

fn agrees(value: &Value, schema: &Validator) -> Result<()> {
    let errors: Vec<String> = schema
        .iter_errors(value)
        .take(3)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(())
}
