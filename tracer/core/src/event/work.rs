//! What cmd/go works on, module by module, as its goroutines tell while it runs.

use super::{GoRuntime, Goroutine, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most pieces of work that are told of one process.
const MAX_WORK: usize = 256;

/// What a goroutine does for a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoWork {
    /// The goroutine.
    pub goid: u64,
    /// `path@version`, or the path alone.
    pub module: String,
    /// How far it has come.
    pub step: GoStep,
}

/// What runs in a Go program now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoRunning {
    /// The goroutines of the program that run or could, at most 256.
    pub goroutines: Vec<Goroutine>,
    /// How many of the program there are in all.
    pub living: u64,
    /// The highest of their numbers, which are given in order.
    pub newest: u64,
    /// CPU time that the process had used by then; 0 where that is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_ns: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What runs in a Go program; none where that could not be read as a whole.
pub fn running(go: &GoRuntime) -> Option<GoRunning> {
    let whole = go.unreadable.is_none() && go.partial.is_empty();
    let own = || go.goroutines.iter().filter(|goroutine| !goroutine.system);
    let runs =
        |g: &&Goroutine| !matches!(g.status, Status::Waiting | Status::Syscall | Status::Leaked);
    whole.then(|| GoRunning {
        goroutines: own().filter(runs).take(MAX_WORK).cloned().collect(),
        living: own().count() as u64,
        newest: own().map(|goroutine| goroutine.id).max().unwrap_or(0),
        cpu_ns: 0,
    })
}

/// A step of cmd/go on the way to a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GoStep {
    /// It waits for a lock of the module cache.
    Lock,
    /// It fetches: from a module proxy, or by git.
    Fetch,
    /// It compares what came with go.sum and the checksum database.
    Verify,
    /// It unpacks the zip into the module cache.
    Unzip,
}

/// Functions of cmd/go, and the step that each is. The innermost on a stack decides.
const STEPS: &[(&str, GoStep)] = &[
    ("cmd/go/internal/lockedfile/internal/filelock.lock", GoStep::Lock),
    ("cmd/go/internal/modfetch.unzip", GoStep::Unzip),
    ("golang.org/x/mod/zip.Unzip", GoStep::Unzip),
    ("cmd/go/internal/modfetch.hashZip", GoStep::Verify),
    ("cmd/go/internal/modfetch.checkMod", GoStep::Verify),
    ("cmd/go/internal/modfetch.checkModSum", GoStep::Verify),
    ("cmd/go/internal/modfetch.checkGoMod", GoStep::Verify),
    ("cmd/go/internal/modfetch.checkSumDB", GoStep::Verify),
    ("cmd/go/internal/modfetch.lookupSumDB", GoStep::Verify),
    ("cmd/go/internal/web.get", GoStep::Fetch),
    ("cmd/go/internal/modfetch.downloadZip", GoStep::Fetch),
    ("cmd/go/internal/modfetch.(*Fetcher).downloadZip", GoStep::Fetch),
];

/// Receivers whose methods fetch.
const FETCHERS: &[&str] =
    &["cmd/go/internal/modfetch.(*proxyRepo).", "cmd/go/internal/modfetch/codehost."];

/// What the goroutines of a process work on.
pub fn work(go: &GoRuntime) -> Vec<GoWork> {
    let told = go.goroutines.iter().filter(|g| g.status != Status::Idle).filter_map(work_of);
    told.take(MAX_WORK).collect()
}

fn work_of(goroutine: &Goroutine) -> Option<GoWork> {
    let module = goroutine.worked_on()?;
    let step = goroutine.functions.iter().find_map(|function| step(function))?;
    Some(GoWork { goid: goroutine.id, module, step })
}

fn step(function: &str) -> Option<GoStep> {
    // Closures are work of the function they were written in: `downloadZip.func1`.
    let is = |name: &str| {
        function.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(".func"))
    };
    let known = STEPS.iter().find(|(name, _)| is(name)).map(|(_, step)| *step);
    known.or_else(|| FETCHERS.iter().any(|f| function.starts_with(f)).then_some(GoStep::Fetch))
}
