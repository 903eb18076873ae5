//! Where things are, and how programs are run from there.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Metadata, MetadataCommand};

/// The cargo workspace that the chores work on.
pub(crate) struct Workspace {
    /// The folder of the root Cargo.toml.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, where everything fetched or built goes.
    pub(crate) target: PathBuf,
    /// What cargo knows of the members and what they declare to depend on.
    pub(crate) metadata: Metadata,
}

impl Workspace {
    /// Asks cargo for the workspace around the current folder.
    pub(crate) fn find() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
        Ok(Self {
            root: metadata.workspace_root.clone().into_std_path_buf(),
            target: metadata.target_directory.clone().into_std_path_buf(),
            metadata,
        })
    }

    /// A command of the cargo that started this chore, at the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Builds gmtrace for tests and says where it is.
    ///
    /// The whole workspace is selected: cargo unites the features of what is selected, and a package
    /// alone would get other ones, and so another build of everything it uses, than the tests get.
    pub(crate) fn build_gmtrace(&self) -> Result<PathBuf> {
        succeed(&mut self.cargo(&["build", "--workspace", "--bin", "gmtrace"]))?;
        Ok(self.target.join("debug/gmtrace"))
    }

    /// Builds programs of some packages, optimised, in one go, and says where they are.
    pub(crate) fn build_optimised(&self, packages: &[&str]) -> Result<PathBuf> {
        let mut build = self.cargo(&["build", "--release", "--bins"]);
        succeed(build.args(packages.iter().flat_map(|package| ["--package", package])))?;
        Ok(self.target.join("release"))
    }
}

/// Tells on standard error what a chore is about to do.
pub(crate) fn progress(what: impl AsRef<str>) {
    eprintln!("xtask: {}", what.as_ref());
}

/// Runs `command` and fails unless it ends with status 0.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

/// Runs `command` without input and gives its standard output; fails, with its standard error,
/// unless it ends with status 0.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output: Output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}\n{}", shown(command), output.status, said.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", shown(command)))
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Looks a program up in PATH, and in the folders for administrators, which an ordinary user's PATH
/// leaves out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(administrators)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
