//! Runs the tests of the zoo, and gathers what they tell.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::go;
use super::outcome::{Trial, Verdict};
use super::test::Test;
use crate::tests::{ZOO_GO, prepared};
use crate::workspace::{Workspace, output_of, progress};

/// The tests, built, and the folder for what they leave.
pub(super) struct Suite<'a> {
    workspace: &'a Workspace,
    go: Option<String>,
    folder: PathBuf,
}

impl<'a> Suite<'a> {
    /// Installs or names what is missing, and builds.
    pub(super) fn prepare(workspace: &'a Workspace, go: Option<&str>) -> Result<Self> {
        crate::debian::provide(crate::debian::FOR_TESTS)?;
        let go = go.map(|version| go::named(workspace, version)).transpose()?;
        let folder = workspace.target.join("zoo");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        progress("building gmtrace and the zoo");
        let suite = Self { workspace, go, folder };
        let log = suite.log();
        File::create(&log).with_context(|| log.display().to_string())?;
        Ok(suite)
    }

    /// Where libtest's own words go: why something failed.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log.txt")
    }

    /// Every scenario in every way.
    pub(super) fn tests(&self) -> Result<Vec<Test>> {
        let listed = output_of(&mut self.libtest(&["--list", "--format", "terse"])?)?;
        let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.filter_map(Test::parse).collect())
    }

    /// Runs these, so many times.
    pub(super) fn run(&self, tests: &[Test], times: u32) -> Result<Vec<Trial>> {
        let mut trials = Vec::new();
        for run in 1..=times {
            progress(format!("{} scenarios, run {run} of {times}", tests.len()));
            trials.extend(self.run_once(tests, run)?);
        }
        Ok(trials)
    }

    fn run_once(&self, tests: &[Test], run: u32) -> Result<Vec<Trial>> {
        let rows = self.folder.join("rows.jsonl");
        File::create(&rows).with_context(|| rows.display().to_string())?;
        let names: Vec<String> = tests.iter().map(Test::name).collect();
        let words: Vec<&str> = ["--exact", "--include-ignored"]
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .collect();
        let mut libtest = self.libtest(&words)?;
        libtest.env("GMTRACE_ZOO_ROWS", &rows);
        let mut verdicts = self.verdicts(&mut libtest, tests.len())?;
        let mut lines = lines(&rows)?;
        let trial = |test: &Test| Trial {
            test: test.clone(),
            run,
            verdict: verdicts.remove(&test.name()).unwrap_or(Verdict::Lost),
            line: lines.remove(&test.name()),
        };
        Ok(tests.iter().map(trial).collect())
    }

    /// What libtest says of each test; all that it says goes to the log.
    fn verdicts(&self, libtest: &mut Command, count: usize) -> Result<HashMap<String, Verdict>> {
        let mut log = File::options().append(true).open(self.log())?;
        let mut child = libtest.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
        let stdout = child.stdout.take().context("cargo test has no standard output")?;
        let mut verdicts = HashMap::new();
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            writeln!(log, "{line}")?;
            // What a lab said is printed once more, below the failures.
            let news = verdict_of(&line).filter(|(name, _)| !verdicts.contains_key(*name));
            if let Some((name, verdict)) = news {
                let number = verdicts.len() + 1;
                progress(format!("{number:>3} of {count}: {:<5} {name}", word(&verdict)));
                verdicts.insert(name.to_owned(), verdict);
            }
        }
        child.wait()?;
        ensure!(!verdicts.is_empty(), "cargo test ran nothing; see {}", self.log().display());
        Ok(verdicts)
    }

    fn libtest(&self, words: &[&str]) -> Result<Command> {
        let zoo = ["--package", "gmtrace-tests", "--test", "zoo", "--"];
        let mut command = prepared(self.workspace, &[&zoo, words].concat())?;
        command.envs(self.go.as_ref().map(|go| (ZOO_GO, go)));
        Ok(command)
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "right",
        Verdict::Failed => "WRONG",
        Verdict::Lost => "lost",
    }
}

/// Reads `test NAME ... ok`.
fn verdict_of(line: &str) -> Option<(&str, Verdict)> {
    let (name, said) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let verdict = match said {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        _ => return None,
    };
    Some((name, verdict))
}

/// The lines that scenarios wrote, by the name of the test.
fn lines(file: &Path) -> Result<HashMap<String, Value>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut lines = HashMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).context("a line of a scenario")?;
        let name = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        lines.insert(format!("{}::{}", name("test"), name("way")), line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libtest_says() {
        let of = |line| verdict_of(line).map(|(_, verdict)| verdict);
        assert_eq!(verdict_of("test a::b::attach ... ok"), Some(("a::b::attach", Verdict::Passed)));
        assert_eq!(of("test a::b::ebpf ... FAILED"), Some(Verdict::Failed));
        assert_eq!(of("test result: ok. 1 passed"), None);
        assert_eq!(of("test a::b ... bench"), None);
    }
}
