//! The same quiet surroundings for every run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use tempfile::TempDir;

use crate::toolchains;
use crate::workspace::{Workspace, output_of};

/// A folder on tmpfs, the go to measure with, and the variables of every run.
pub(super) struct Environment {
    folder: TempDir,
    /// The go command.
    pub(super) go: PathBuf,
    variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// Chooses the go command and lays out the folder.
    pub(super) fn prepare(workspace: &Workspace, go: Option<&Path>, tmpfs: &Path) -> Result<Self> {
        let kind = statfs(tmpfs).with_context(|| format!("{}", tmpfs.display()))?.filesystem_type();
        ensure!(
            kind == TMPFS_MAGIC,
            "{} is not on tmpfs, and a disk would be measured with it; name one by --tmpfs",
            tmpfs.display()
        );
        let go = match go {
            Some(go) => go.canonicalize().with_context(|| format!("{}", go.display()))?,
            None => toolchains::any_go(workspace)?,
        };
        let folder = tempfile::Builder::new().prefix("gmtrace-bench-").tempdir_in(tmpfs)?;
        let variables = variables(folder.path(), &go)?;
        let environment = Self { folder, go, variables };
        environment.turn_telemetry_off()?;
        Ok(environment)
    }

    /// The folder on tmpfs.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The module cache that a run fills.
    pub(super) fn module_cache(&self) -> PathBuf {
        self.folder().join("modules")
    }

    /// A command in these surroundings and nothing else of the caller's.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `go telemetry off`, as the file it writes: without it go starts a child once a day, and the
    /// variable GOTELEMETRY cannot be set from outside.
    fn turn_telemetry_off(&self) -> Result<()> {
        let telemetry = self.folder().join("config/go/telemetry");
        fs::create_dir_all(&telemetry)?;
        fs::write(telemetry.join("mode"), "off").context("telemetry mode")
    }

    /// `go version`, without a toolchain switch.
    pub(super) fn go_version(&self) -> Result<String> {
        Ok(output_of(self.command(&self.go).arg("version"))?.trim().to_owned())
    }
}

fn variables(folder: &Path, go: &Path) -> Result<Vec<(OsString, OsString)>> {
    let inside = |name: &str| folder.join(name).into_os_string();
    Ok([
        ("PATH", toolchains::path_with(go)?),
        ("HOME", inside("home")),
        ("XDG_CONFIG_HOME", inside("config")),
        ("GIT_CONFIG_GLOBAL", inside("gitconfig")),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GOPATH", inside("gopath")),
        ("GOMODCACHE", inside("modules")),
        ("GOCACHE", inside("build")),
        ("GOENV", "off".into()),
        ("GOFLAGS", "-mod=mod -modcacherw".into()),
        ("GOPROXY", "off".into()),
        ("GOSUMDB", "off".into()),
        ("GOTELEMETRY", "off".into()),
        ("GOTOOLCHAIN", "local".into()),
        ("GMTRACE_STATE", "off".into()),
    ]
    .map(|(name, value)| (OsString::from(name), value))
    .into())
}
