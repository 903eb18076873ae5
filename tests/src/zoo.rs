//! The words in which the scenarios of the zoo are written: watch a command, wait until gmtrace says that it stalls, let go,
//! and expect an answer.
//!
//! ```no_run
//! # use gmtrace_tests::{servers::*, zoo};
//! # fn scenario(project: gmtrace_tests::go::Project, proxy: HttpServer<ModuleProxy>) -> anyhow::Result<()> {
//! proxy.faults().on(".zip", Fault::Silent);
//! let hang = zoo::watch(project.go(["mod", "download"]).proxy(&proxy.url()))?;
//! proxy.wait_for(".zip")?; // the proof from outside that this is the hang it claims to be
//! hang.stalls()?.expect("http-silent").role("module-proxy").address("127.0.0.1").module("example.com/m000@v1.0.0");
//! proxy.faults().lift();
//! hang.succeeds()?.expect("http-silent").state("slow");
//! # Ok(())
//! # }
//! ```
//!
//! Every answer is checked against the JSON Schemas that gmtrace prints, and the recording is rendered again: it must give the
//! same code, role and culprit as the run did.

#![allow(clippy::panic, reason = "an expectation that does not hold ends its test")]

mod attached;

pub use attached::{Hung, gmtrace, hang, look};

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jsonschema::Validator;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::go::{Finished, Go, GoCommand, Running};
use crate::servers::PATIENCE;

/// So many events, the last, are shown where an expectation does not hold.
const EVENTS_TOLD: usize = 200;

/// The go command of the scenarios: the one in PATH, or what `GMTRACE_ZOO_GO` names: a version (`1.21.13`), or `debian` for the one of
/// [`Go::linked_with_libc`].
///
/// # Errors
/// When there is none.
pub fn go() -> Result<Go> {
    match std::env::var("GMTRACE_ZOO_GO").as_deref() {
        Ok("debian") => Go::linked_with_libc(),
        Ok(version) => Go::version(version),
        Err(_) => Go::find(),
    }
}

/// The same go command, where it has `what`, which came with Go 1.`minor`. Where it has not, there is none, and the test says so.
///
/// # Errors
/// When there is no go, or it does not say what it is.
pub fn go_with(what: &str, minor: u32) -> Result<Option<Go>> {
    let go = go()?;
    if go.minor()? >= minor {
        return Ok(Some(go));
    }
    // Not by eprintln!, whose words libtest keeps for those who fail.
    writeln!(
        std::io::stderr(),
        "skipped: {what} came with Go 1.{minor}, and this is {}",
        go.says()?
    )?;
    Ok(None)
}

/// Starts a command under gmtrace, which speaks up after a second, or after `GMTRACE_ZOO_STALL_AFTER` on a machine on which a healthy
/// command takes longer to move, such as an emulated one.
///
/// # Errors
/// When it cannot start.
pub fn watch(command: GoCommand) -> Result<Watched> {
    let after = std::env::var("GMTRACE_ZOO_STALL_AFTER").unwrap_or_else(|_| "1s".to_owned());
    watch_with(command, ["--stall-after", after.as_str()])
}

/// Starts a command under gmtrace with these options.
///
/// # Errors
/// When it cannot start.
pub fn watch_with<S: AsRef<str>>(
    command: GoCommand,
    options: impl IntoIterator<Item = S>,
) -> Result<Watched> {
    let options = options.into_iter().map(|option| option.as_ref().to_owned());
    Ok(Watched(command.traced(backend().into_iter().chain(options)).spawn()?))
}

/// Starts a command under gmtrace that captures in this way, and speaks up after a second.
///
/// # Errors
/// When it cannot start.
pub fn watch_by(backend: &str, command: GoCommand) -> Result<Watched> {
    let options = ["--backend", backend, "--stall-after", "1s"].map(str::to_owned);
    Ok(Watched(command.traced(options).spawn()?))
}

/// How the scenarios are captured: `GMTRACE_ZOO_BACKEND` names it (`ebpf`); otherwise by ptrace.
fn backend() -> [String; 2] {
    let name = std::env::var("GMTRACE_ZOO_BACKEND").unwrap_or_else(|_| "ptrace".to_owned());
    ["--backend".to_owned(), name]
}

/// A command that runs under gmtrace.
#[derive(Debug)]
pub struct Watched(Running);

impl Watched {
    /// gmtrace's process id.
    pub fn pid(&self) -> Pid {
        self.0.pid()
    }

    /// The command's process id.
    ///
    /// # Errors
    /// When gmtrace has started none.
    pub fn command(&self) -> Result<Pid> {
        let children = format!("/proc/{}/task/{}/children", self.pid(), self.pid());
        let tracer = fs::read_to_string(children)?;
        let tracer = tracer.split_whitespace().next().context("gmtrace has no child")?;
        let children = fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children"))?;
        let command = children.split_whitespace().next().context("the tracer has no child")?;
        Ok(Pid::from_raw(command.parse()?))
    }

    /// Waits until gmtrace has said that the command stalls, and gives what it said then. A file tells nobody that it has been
    /// written, so it is looked for again and again.
    ///
    /// # Errors
    /// When the command ends first, or nothing is said for long; what there is, is in the error.
    pub fn stalls(&self) -> Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let stderr = self.0.stderr()?;
            if let Ok(text) = fs::read_to_string(self.0.timeline()) {
                let answer = Answer::new(&text, stderr)?;
                ensure!(answer.timeline["complete"] == false, "it has ended:\n{answer:#}");
                note(&answer.stderr)?;
                return Ok(answer);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("no stall was told within {PATIENCE:?}: {}", self.0.stderr()?)
    }

    /// Types at the command's terminal.
    ///
    /// # Errors
    /// When it has none.
    pub fn types(&self, keys: &str) -> Result<()> {
        self.0.types(keys)
    }

    /// Waits until the command's terminal no longer shows what is typed.
    ///
    /// # Errors
    /// As [`Running::wait_for_secret`].
    pub fn wait_for_secret(&self) -> Result<()> {
        self.0.wait_for_secret()
    }

    /// What gmtrace has said so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stderr(&self) -> Result<String> {
        self.0.stderr()
    }

    /// Waits until `text` stands in what was said.
    ///
    /// # Errors
    /// As [`Running::wait_for_stderr`].
    pub fn wait_for_stderr(&self, text: &str) -> Result<String> {
        self.0.wait_for_stderr(text)
    }

    /// Ends the command as a person would, by a signal to gmtrace, and gives the last answer.
    ///
    /// # Errors
    /// When it does not end by that signal, or the files do not hold what they promise.
    pub fn stop(self) -> Result<Answer> {
        self.0.signal(Signal::SIGTERM)?;
        let finished = self.0.wait()?;
        ensure!(!finished.status.success(), "it ended well: {}", finished.stderr);
        Answer::of(&finished)
    }

    /// Waits for its end, which must be one in failure, and gives the last answer.
    ///
    /// # Errors
    /// When it ends well, or the files do not hold what they promise.
    pub fn fails(self) -> Result<Answer> {
        let finished = self.0.wait()?;
        ensure!(!finished.status.success(), "it ended well: {}", finished.stderr);
        Answer::of(&finished)
    }

    /// Waits for its end, which must be a good one, and gives the last answer.
    ///
    /// # Errors
    /// When it fails, or the files do not hold what they promise.
    pub fn succeeds(self) -> Result<Answer> {
        Answer::of(&self.0.wait()?.succeeded()?)
    }
}

/// What gmtrace said about a run: its timeline, and its words.
#[derive(Debug)]
pub struct Answer {
    /// The timeline (`run.json`).
    pub timeline: Value,
    /// What stood on standard error by then, the command's own words included.
    pub stderr: String,
    /// What happened, of a run that has ended.
    recording: String,
}

impl Answer {
    fn new(timeline: &str, stderr: String) -> Result<Self> {
        let timeline = serde_json::from_str(timeline).context("the timeline")?;
        agrees(&timeline, schema("timeline")).context("the timeline and its schema")?;
        Ok(Self { timeline, stderr, recording: String::new() })
    }

    /// The answer of a run that has ended, after a look at everything it left.
    fn of(finished: &Finished) -> Result<Self> {
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
        note(&answer.stderr)?;
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

    /// Expects this code in the verdict: the first finding.
    pub fn expect(&self, code: &str) -> Found<'_> {
        let Some(finding) = self.findings().first() else {
            panic!("expected {code}, found nothing:\n{self:#}");
        };
        let found = Found { finding, answer: self };
        found.is("code", &finding["code"], code)
    }

    /// Expects a finding of this code anywhere.
    pub fn also(&self, code: &str) -> Found<'_> {
        let Some(finding) = self.findings().iter().find(|finding| finding["code"] == code) else {
            panic!("expected {code} among the findings:\n{self:#}");
        };
        Found { finding, answer: self }
    }

    /// Expects that no finding has this code.
    pub fn never(&self, code: &str) -> &Self {
        assert!(self.findings().iter().all(|finding| finding["code"] != code), "{code}:\n{self:#}");
        self
    }

    /// Expects that nothing stalled.
    pub fn no_stall(&self) -> &Self {
        assert_eq!(self.timeline["stalls"], json!([]), "a stall was told:\n{self:#}");
        let stalled =
            |finding: &Value| matches!(finding["state"].as_str(), Some("stalled" | "slow"));
        let excused = |finding: &Value| finding["code"] == "body-slow";
        assert!(
            !self.findings().iter().any(|finding| stalled(finding) && !excused(finding)),
            "a stall was found:\n{self:#}"
        );
        self
    }
}

/// For people: the findings, what was said, and what happened.
impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let findings = &self.timeline["findings"];
        writeln!(f, "{findings:#}\nstalls {}\n{}", self.timeline["stalls"], self.stderr)?;
        let long = |line: &&str| line.contains(r#""type":"snapshot""#);
        let events: Vec<&str> = self.recording.lines().filter(|line| !long(line)).collect();
        let told = events.len().saturating_sub(EVENTS_TOLD);
        events.iter().skip(told).try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A finding. Each word is an expectation; one that is not met ends the test and shows everything that was found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// As in the timeline.
    pub finding: &'a Value,
    answer: &'a Answer,
}

impl Found<'_> {
    fn is(self, what: &str, given: &Value, expected: &str) -> Self {
        assert_eq!(given.as_str(), Some(expected), "{what}, in\n{:#}", self.answer);
        self
    }

    fn holds(self, what: &str, given: &Value, expected: &str) -> Self {
        let given = given.as_array().map_or(&[][..], Vec::as_slice);
        assert!(given.iter().any(|v| v == expected), "{what} {expected}, in\n{:#}", self.answer);
        self
    }

    /// `module-proxy`, `sumdb`, `resolver`, ...
    pub fn role(self, role: &str) -> Self {
        self.is("role", &self.finding["role"], role)
    }

    /// `stalled`, `slow`, `failed`, `notice`.
    pub fn state(self, state: &str) -> Self {
        self.is("state", &self.finding["state"], state)
    }

    /// The code of the first link, where the chain has more than one.
    pub fn symptom(self, code: &str) -> Self {
        self.is("symptom", &self.finding["symptom"], code)
    }

    /// `certain`, `likely`, `possible`.
    pub fn confidence(self, confidence: &str) -> Self {
        self.is("confidence", &self.finding["confidence"], confidence)
    }

    /// The name of the other end.
    pub fn host(self, host: &str) -> Self {
        self.is("host", &self.finding["peer"]["host"], host)
    }

    /// The address of the other end.
    pub fn address(self, address: &str) -> Self {
        self.is("address", &self.finding["peer"]["address"], address)
    }

    /// The port of the other end.
    pub fn port(self, port: u16) -> Self {
        assert_eq!(self.finding["peer"]["port"], port, "port, in\n{:#}", self.answer);
        self
    }

    /// One of the modules that wait: `path@version`.
    pub fn module(self, module: &str) -> Self {
        self.holds("module", &self.finding["modules"], module)
    }

    /// The path of the lock.
    pub fn lock(self, path: impl AsRef<std::path::Path>) -> Self {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.is("lock", &self.finding["lock"]["path"], &path)
    }

    /// A process among the holders of the lock.
    pub fn holder(self, pid: Pid) -> Self {
        let holders = self.finding["lock"]["holders"].as_array().map_or(&[][..], Vec::as_slice);
        let held = holders.iter().any(|holder| holder["pid"] == pid.as_raw());
        assert!(held, "holder {pid}, in\n{:#}", self.answer);
        self
    }

    /// How many links the chain has.
    pub fn links(self, count: usize) -> Self {
        let chain = self.finding["chain"].as_array().map_or(0, Vec::len);
        assert_eq!(chain, count, "links of the chain, in\n{:#}", self.answer);
        self
    }

    /// The path that is blocked.
    pub fn path(self, path: impl AsRef<std::path::Path>) -> Self {
        let path = path.as_ref().to_string_lossy().into_owned();
        self.is("path", &self.finding["blocked"]["path"], &path)
    }

    /// A text anywhere in the finding: a summary, a fact, evidence, a remedy, a limit.
    pub fn says(self, text: &str) -> Self {
        assert!(mentions(self.finding, text), "{text:?} is not said, in\n{:#}", self.answer);
        self
    }
}

/// Whether a text of `value` has `text` in it.
fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(items) => items.iter().any(|item| mentions(item, text)),
        Value::Object(map) => map.values().any(|item| mentions(item, text)),
        _ => false,
    }
}

/// Adds what was said to the file that `GMTRACE_ZOO_SAID` names: for a person who wants to read all messages.
fn note(said: &str) -> Result<()> {
    let Some(file) = std::env::var_os("GMTRACE_ZOO_SAID") else { return Ok(()) };
    let mut file = fs::OpenOptions::new().create(true).append(true).open(file)?;
    let test = thread::current().name().unwrap_or_default().to_owned();
    Ok(file.write_all(format!("=== {test}\n{said}\n").as_bytes())?)
}

/// Renders a recording again.
fn replay(recording: &str) -> Result<Answer> {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile()?;
    file.write_all(recording.as_bytes())?;
    let output = Command::new(crate::go::gmtrace()?)
        .args(["report", "-F", "json"])
        .arg(file.path())
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "gmtrace report: {stderr}");
    Answer::new(&String::from_utf8(output.stdout)?, stderr)
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
