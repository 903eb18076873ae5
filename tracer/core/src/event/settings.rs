//! The settings a go command really has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version, resolver and environment of a go command, found without running it: `go env` can itself download a toolchain
/// and hang.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoSettings {
    /// As `go1.27.3`; none where it could not be read.
    pub version: Option<String>,
    /// The binary.
    pub path: String,
    /// Who resolves names, and why.
    pub resolver: Option<GoResolver>,
    /// The allow-listed variables that have a value.
    pub env: BTreeMap<String, Setting>,
    /// The resolvers of `/etc/resolv.conf`, as seen by the command, in order.
    #[serde(default)]
    pub nameservers: Vec<String>,
    /// The search list of `/etc/resolv.conf`.
    #[serde(default)]
    pub search: Vec<String>,
    /// What of the module the command runs in is known.
    #[serde(default)]
    pub module: Option<MainModule>,
}

/// Which resolver a go command uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GoResolver {
    /// `go` or `cgo`.
    pub kind: String,
    /// Why.
    pub why: String,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Its value, redacted.
    pub value: String,
    /// Where it was set.
    pub origin: SettingOrigin,
}

/// Where a setting comes from, strongest first (cmd/go/internal/cfg).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SettingOrigin {
    /// The process environment.
    #[serde(rename = "environment")]
    Environment,
    /// The file that `go env -w` writes.
    #[serde(rename = "GOENV file")]
    GoenvFile,
    /// `go.env` in GOROOT.
    #[serde(rename = "go.env")]
    GoEnv,
    /// Built in.
    #[serde(rename = "default")]
    Default,
}

/// In words, to stand behind "from".
impl std::fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SettingOrigin::Environment => "the environment",
            SettingOrigin::GoenvFile => "the file that go env -w writes",
            SettingOrigin::GoEnv => "go.env of this Go",
            SettingOrigin::Default => "the default",
        })
    }
}

/// The module (or workspace) around the working directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MainModule {
    /// Path of go.mod; none where there is none.
    pub go_mod: Option<String>,
    /// Path of go.work.
    pub go_work: Option<String>,
    /// The module's own path.
    pub path: Option<String>,
    /// The `go` line.
    pub go: Option<String>,
    /// The `toolchain` line.
    pub toolchain: Option<String>,
    /// Number of required modules.
    pub requires: usize,
    /// Whether `vendor/modules.txt` exists.
    pub vendor: bool,
}
