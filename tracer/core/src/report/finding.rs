//! A finding: what is blocked, why that follows, and what to do.

use crate::units::{Fd, Nanos, Pid, Tid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One answer, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `f1`, `f2`, ... in this report.
    pub id: String,
    /// The root of the chain, from the catalogue; stable for ever.
    pub code: String,
    /// The code of the first link.
    pub symptom: String,
    /// Whether it is so now.
    pub state: FindingState,
    /// How sure.
    pub confidence: Confidence,
    /// One sentence a person understands.
    pub summary: String,
    /// When it began.
    pub since_ns: Nanos,
    /// When it ended.
    pub end_ns: Option<Nanos>,
    /// How long it lasted, or has lasted.
    pub blocked_ns: Nanos,
    /// Who is blocked, and where.
    pub blocked: Blocked,
    /// The other end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// What it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// `path@version` of what waits for it, at most 20.
    pub modules: Vec<String>,
    /// How many in all.
    pub modules_total: u64,
    /// The lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// From the command to the root.
    pub chain: Vec<Link>,
    /// Who else waits behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiters: Vec<Link>,
    /// When go will give up by itself, or that it never will.
    pub limit: Option<String>,
    /// Short facts.
    pub evidence: Vec<Evidence>,
    /// What else would look like this.
    pub alternatives: Vec<String>,
    /// What to do.
    pub remedies: Vec<Remedy>,
    /// The labelled lines of the message between the first line and `limit`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
}

/// A labelled line of a message: `server    192.0.2.10 port 443`. Further lines continue under the same label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// One word of at most nine letters: `waiting`, `server`, `seen`, `lock`, ...
    pub label: String,
    /// The text, one entry a line.
    pub lines: Vec<String>,
}

/// Whether a finding is so now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// Open now.
    Stalled,
    /// It was, and went on.
    Slow,
    /// It ended in an error.
    Failed,
    /// Worth knowing.
    Notice,
}

/// How sure a finding is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The facts allow it, and other explanations too.
    Possible,
    /// The facts speak for it.
    Likely,
    /// The facts decide it.
    Certain,
}

/// What a connection is for, from the settings of the go command.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An entry of GOPROXY.
    ModuleProxy,
    /// The checksum database.
    Sumdb,
    /// Where a toolchain is fetched.
    Toolchain,
    /// A version-control server.
    Vcs,
    /// A module's own host (`?go-get=1`).
    Origin,
    /// Where a redirect led.
    Redirect,
    /// HTTP_PROXY, HTTPS_PROXY.
    WebProxy,
    /// A name server.
    Resolver,
    /// A helper program.
    Helper,
}

/// Who is blocked, and where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blocked {
    /// The process.
    pub pid: Pid,
    /// The thread, where one sits in a system call.
    pub tid: Option<Tid>,
    /// The goroutine.
    pub goid: Option<u64>,
    /// The system call, or the operation a parked goroutine waits in.
    pub syscall: Option<String>,
    /// The descriptor.
    pub fd: Option<Fd>,
    /// The file.
    pub path: Option<String>,
}

/// The other end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Its name, where known.
    pub host: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// `tcp`, `udp`, `unix`.
    pub protocol: String,
    /// The other addresses of the same name, and what became of each.
    pub other_addresses: Vec<OtherAddress>,
    /// What the kernel knows of the connection.
    pub tcp: Option<TcpFacts>,
}

/// Another address of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherAddress {
    /// The address.
    pub address: String,
    /// `not tried`, `connected`, `refused`, `silent`, ...
    pub outcome: String,
}

/// TCP's own view of a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpFacts {
    /// `ESTABLISHED`, `SYN_SENT`, ...
    pub state: String,
    /// Milliseconds since data was last received.
    pub last_data_received_ms: u32,
    /// Retransmissions.
    pub retransmissions: u32,
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    /// Bytes received.
    pub bytes_received: u64,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lock {
    /// The file.
    pub path: String,
    /// `flock`, `posix`, `ofd`.
    pub kind: String,
    /// Who holds it.
    pub holders: Vec<Holder>,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// The process.
    pub pid: Pid,
    /// Its words, redacted.
    pub argv: Vec<String>,
    /// Who started it.
    pub started_by: Option<String>,
    /// Since when it runs, counted back from this report.
    pub since_ns: Option<Nanos>,
    /// Whether it lives.
    pub alive: bool,
}

/// One link of a chain: a process, and what it waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The process.
    pub pid: Pid,
    /// Its words, redacted.
    pub argv: Vec<String>,
    /// What it waits for.
    pub waits_for: String,
    /// Why that follows.
    pub because: String,
}

/// A fact that a finding rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The fact.
    pub text: String,
    /// When it was seen.
    pub t: Nanos,
    /// Where it comes from: an event type, `snapshot`, `stderr`.
    pub source: String,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Remedy {
    /// In words.
    pub text: String,
    /// As a command that works as pasted.
    pub command: Option<String>,
    /// False where it could harm.
    pub safe: bool,
}
