//! What is told: the timeline (`gmtrace.timeline/1`) and its parts. A report is data; renderers only read it.

mod build;
pub mod chrome;
pub mod explain;
mod finding;
mod gocalls;
pub mod html;
pub mod json;
mod lanes;
mod layout;
pub mod live;
mod lookups;
pub mod markdown;
pub mod message;
pub mod palette;
pub mod perfetto;
pub mod ps;
mod ranking;
mod requests;
pub mod schema;
pub mod text;
mod work;

#[cfg(test)]
mod tests;

pub use build::{Frame, replay, report};
pub use finding::*;

use crate::event::{Backend, EndedBy, Exit, GoResolver, Host, Mode, ProcessRole, Setting};
use crate::units::{Nanos, Pid, Tid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The schema name of a timeline. Removing or changing a key makes `/2`.
pub const TIMELINE_SCHEMA: &str = "gmtrace.timeline/1";

/// Everything gmtrace has to say about a run: the object in a `.json` output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`TIMELINE_SCHEMA`].
    pub schema: String,
    /// Whether the run is over.
    pub complete: bool,
    /// launch, attach or replay.
    pub mode: Mode,
    /// Version.
    pub gmtrace: String,
    /// The machine.
    pub host: Host,
    /// Which backend, why, what it cannot see.
    pub backend: Backend,
    /// What was run.
    pub command: Command,
    /// The settings of the (first) go command in the tree.
    pub go: Option<GoSection>,
    /// Every process seen.
    pub processes: Vec<ProcessRow>,
    /// What took time.
    pub spans: Vec<Span>,
    /// Modules, where they could be told.
    pub modules: Vec<ModuleRow>,
    /// Hosts that were talked to.
    pub hosts: Vec<HostRow>,
    /// What was found; the first is the verdict.
    pub findings: Vec<Finding>,
    /// When nothing moved.
    pub stalls: Vec<Stall>,
    /// In one sentence.
    pub verdict: Verdict,
    /// Sums.
    pub totals: Totals,
    /// Events lost and values unreadable, by cause; empty when none were.
    pub losses: BTreeMap<String, u64>,
    /// Sentences worth knowing that are no findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// Its words, redacted.
    pub argv: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// Its process id.
    pub pid: Pid,
    /// RFC 3339, nanoseconds.
    pub started_at: String,
    /// RFC 3339, nanoseconds: when this report was made.
    pub observed_at: String,
    /// From start to end, or to now.
    pub duration_ns: Nanos,
    /// How it ended; null while alive.
    pub exit: Option<Exit>,
    /// What ended it; null while alive.
    pub ended_by: Option<EndedBy>,
}

/// The go command's settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoSection {
    /// As `go1.27.3`.
    pub version: Option<String>,
    /// The binary.
    pub path: String,
    /// Who resolves names, and why.
    pub resolver: Option<GoResolver>,
    /// Allow-listed variables.
    pub env: BTreeMap<String, Setting>,
}

/// A process in the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessRow {
    /// Its id.
    pub pid: Pid,
    /// Its id in its own namespace, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<Pid>,
    /// Its parent.
    pub ppid: Pid,
    /// Its words, redacted.
    pub argv: Vec<String>,
    /// Its program.
    pub exe: String,
    /// When it began.
    pub started_ns: Nanos,
    /// When it ended; null while alive.
    pub ended_ns: Option<Nanos>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// What kind of program.
    pub role: ProcessRole,
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// 16 hex digits.
    pub id: String,
    /// The span this one belongs to.
    pub parent: Option<String>,
    /// What kind.
    pub r#type: SpanType,
    /// For people.
    pub name: String,
    /// When it began.
    pub start_ns: Nanos,
    /// When it ended; null while it goes on.
    pub end_ns: Option<Nanos>,
    /// How it ended.
    pub status: SpanStatus,
    /// The process.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// The goroutine.
    pub goid: Option<u64>,
    /// `path@version`.
    pub module: Option<String>,
    /// OpenTelemetry's names where they exist, `gmtrace.*` otherwise.
    pub attrs: Map<String, Value>,
}

/// What kind of work a span is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum SpanType {
    /// A process's life.
    Process,
    /// A module's download.
    Module,
    /// Fetching it.
    Fetch,
    /// Checking it.
    Verify,
    /// Unpacking it.
    Unzip,
    /// A look-up.
    Dns,
    /// A connection attempt.
    Connect,
    /// A TLS handshake.
    Tls,
    /// A request.
    Http,
    /// Waiting for a lock.
    Lock,
    /// A program that was run.
    Exec,
    /// Reading a connection.
    Read,
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SpanStatus {
    /// Well.
    Ok,
    /// In an error.
    Error,
    /// It goes on.
    Open,
}

/// A module's row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleRow {
    /// Its path.
    pub path: String,
    /// Its version.
    pub version: String,
    /// `ok`, `failed`, `open`, or `unknown` where its end was not seen.
    pub result: String,
    /// Whether it was there already; null where unknown.
    pub cache_hit: Option<bool>,
    /// When work on it began.
    pub start_ns: Nanos,
    /// When it ended.
    pub end_ns: Option<Nanos>,
    /// Bytes received for it; null where unknown.
    pub bytes: Option<u64>,
    /// What it waited for, by kind, in ns: `dns connect tls first_byte body lock exec`.
    pub wait_ns: BTreeMap<String, u64>,
    /// The GOPROXY entries tried.
    pub attempts: Vec<Attempt>,
}

/// One try at one GOPROXY entry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// The entry, redacted.
    pub entry: String,
    /// Its host.
    pub host: String,
    /// The HTTP status.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A host's row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostRow {
    /// Its name, or address where no name is known.
    pub host: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// What for.
    pub role: Option<Role>,
    /// Connections made.
    pub connections: u64,
    /// Requests seen; null where none was, as where TLS hides them.
    pub requests: Option<u64>,
    /// Bytes received.
    pub bytes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Median time to connect.
    pub connect_median_ns: Option<u64>,
    /// Longest time to connect.
    pub connect_max_ns: Option<u64>,
}

/// A time in which nothing moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stall {
    /// When things last moved.
    pub start_ns: Nanos,
    /// When they moved again; null while they do not.
    pub end_ns: Option<Nanos>,
    /// The id of the finding that explains it.
    pub finding: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// In a word.
    pub state: VerdictState,
    /// The first finding's code.
    pub code: Option<String>,
    /// One sentence.
    pub summary: String,
}

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictState {
    /// It ended well, or works.
    Ok,
    /// It stalled on the way and went on.
    Slow,
    /// Nothing moves.
    Stalled,
    /// It ended in an error.
    Failed,
}

/// Sums over the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Modules worked on, where they could be told.
    pub modules: u64,
    /// Requests, where they could be seen.
    pub requests: u64,
    /// Bytes received over TCP.
    pub bytes: u64,
    /// DNS look-ups.
    pub lookups: u64,
    /// Locks taken.
    pub locks: u64,
    /// Connections.
    pub connections: u64,
    /// Processes.
    pub processes: u64,
    /// Events captured.
    pub events: u64,
    /// Stops of a tracee; 0 without ptrace.
    pub stops: u64,
}
