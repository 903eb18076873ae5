//! Provides what the tests need, runs them all, and sums up.

use std::io::{BufRead, BufReader};
use std::iter::Sum;
use std::ops::Add;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::debian;
use crate::toolchains;
use crate::workspace::{Workspace, progress, succeed};

#[derive(Args)]
pub(crate) struct Options {
    /// Run only tests whose name contains this
    filter: Option<String>,
}

/// The hangs, once more, on another go.
struct Round {
    /// What is said of it.
    what: &'static str,
    go: &'static str,
    /// Which of them.
    which: &'static [&'static str],
}

/// Hangs wait most of the time, so more of them run side by side than there are processors.
const BY_ATTACH: &[&str] = &[
    "::attach",
    "--",
    "--skip=healthy::h6",
    "--skip=healthy::h8",
    "--skip=healthy::h9",
    "--test-threads=5",
];
/// Those that differ between releases also when gmtrace starts them: how git and ssh are run, and toolchains.
const HELPERS_TOO: &[&str] = &[
    "::attach",
    "--",
    "helpers::",
    "toolchain",
    "--skip=::ebpf",
    "--skip=healthy::h6",
    "--skip=healthy::h8",
    "--skip=healthy::h9",
    "--test-threads=5",
];
/// What calls git and ssh.
const HELPERS: &[&str] = &["helpers::", "--", "--skip=::ebpf", "--test-threads=5"];
/// The variable that says the same of all tests (`cargo test --help`).
const THREADS: (&str, &str) = ("RUST_TEST_THREADS", "3");

/// After all tests with the machine's Go: on the first release that switches toolchains, on the last that sets GIT_SSH_COMMAND, on
/// the newest, and on Debian's 1.19, whose goroutines are read otherwise, stripped and linked with libc. An attach reads more of go
/// than a launch, and what takes much CPU is the same with every go.
const ROUNDS: &[Round] = &[
    Round { what: "on Go 1.21", go: "1.21.13", which: HELPERS_TOO },
    Round { what: "of git and ssh on Go 1.24", go: "1.24.11", which: HELPERS },
    Round { what: "on Go 1.27", go: toolchains::NEWEST, which: HELPERS_TOO },
    Round { what: "on Debian's Go", go: "debian", which: BY_ATTACH },
];

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Ends with one line, `N passed, N failed`, and fails unless all passed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    debian::provide(debian::FOR_TESTS)?;
    for version in toolchains::DEFAULT {
        toolchains::provide(workspace, version)?;
    }
    prepare(workspace)?;
    progress("running the tests");
    let filter: Vec<&str> = options.filter.as_deref().into_iter().collect();
    let mut all = prepared(workspace, &[&["--workspace"], &filter[..]].concat())?;
    let (mut tally, mut finished) = run_and_count(all.env(THREADS.0, THREADS.1))?;
    for round in ROUNDS {
        progress(format!("running the hangs {}", round.what));
        let which = if filter.is_empty() { round.which } else { &filter };
        let zoo = ["--package", "gmtrace-tests", "--test", "zoo"];
        let mut zoo = prepared(workspace, &[&zoo, which].concat())?;
        zoo.env(ZOO_GO, round.go);
        let (more, also) = run_and_count(&mut zoo)?;
        (tally, finished) = (tally + more, finished && also);
    }
    println!("{}", tally.line());
    ensure!(tally.failed == 0 && finished, "some tests failed, or could not be built");
    ensure!(tally.passed > 0, "no test ran");
    Ok(())
}

fn prepare(workspace: &Workspace) -> Result<()> {
    progress("building the workspace");
    succeed(&mut workspace.cargo(&["build", "--workspace", "--all-targets"]))
}

/// The variable that names the go command of the hangs.
pub(crate) const ZOO_GO: &str = "GMTRACE_ZOO_GO";

/// The command that runs tests: those of `which`.
pub(crate) fn prepared(workspace: &Workspace, which: &[&str]) -> Result<Command> {
    let mut tests = workspace.cargo(&["test", "--no-fail-fast"]);
    tests.args(which);
    tests.env("GMTRACE_BIN", workspace.build_gmtrace()?);
    tests.env("GMTRACE_TOOLCHAINS", toolchains::folder(workspace));
    tests.env("PATH", toolchains::path_with(&toolchains::any_go(workspace)?)?);
    Ok(tests)
}

/// Passes on what cargo prints, and says whether it ended well.
fn run_and_count(tests: &mut Command) -> Result<(Tally, bool)> {
    let mut child = tests.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let Some(stdout) = child.stdout.take() else { bail!("cargo test has no standard output") };
    let mut tallies = Vec::new();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tallies.extend(tally_of(&line));
    }
    Ok((tallies.into_iter().sum(), child.wait()?.success()))
}

/// Reads libtest's closing line: `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
fn tally_of(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| {
        counts.split("; ").find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

impl Tally {
    fn line(self) -> String {
        let Self { passed, failed, skipped } = self;
        match skipped {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    const FAILED: &str = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; \
                          0 filtered out; finished in 0.10s";

    #[test]
    fn reads_the_closing_line_of_libtest() {
        assert_eq!(tally_of(FAILED), Some(Tally { passed: 12, failed: 1, skipped: 2 }));
        assert_eq!(tally_of("test reads_the_result ... ok"), None);
        assert_eq!(tally_of("test result: gibberish"), None);
    }

    #[test]
    fn adds_up_and_says_it_in_one_line() {
        let ok = Tally { passed: 3, failed: 0, skipped: 0 };
        assert_eq!([ok, ok].into_iter().sum::<Tally>().line(), "6 passed, 0 failed");
        let mixed = ok + Tally { passed: 1, failed: 2, skipped: 1 };
        assert_eq!(mixed.line(), "4 passed, 2 failed, 1 skipped");
    }
}
