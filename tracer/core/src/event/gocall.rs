//! What Go programs do that goes on for a while, as probes on their functions tell.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a goroutine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GoCalled {
    /// It looks up the addresses of a host.
    LookUp,
    /// It does the TLS handshake with a server.
    Handshake,
    /// It runs a version control program, and waits for its end.
    Run,
    /// It starts a program.
    Start,
    /// It decides which toolchain is to be used, and gets it.
    SelectToolchain,
    /// It becomes another toolchain.
    ExecToolchain,
}
