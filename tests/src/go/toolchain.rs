//! Finding a Go toolchain.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Project;

/// A Go toolchain.
#[derive(Debug, Clone)]
pub struct Go(PathBuf);

impl Go {
    /// The one in PATH.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|directory| directory.join("go"))
            .find(|go| go.is_file());
        found.map(Self).context("there is no go in PATH: install Go, or the package golang-go")
    }

    /// Exactly this version, such as `1.24.11`: from the GOROOT that `GMTRACE_GO_1_24_11` names, from `target/toolchains/go1.24.11`,
    /// or the one in PATH if it is of that version.
    ///
    /// # Errors
    /// When there is none.
    pub fn version(version: &str) -> Result<Self> {
        let variable = format!("GMTRACE_GO_{}", version.replace('.', "_"));
        let named = std::env::var_os(&variable).map(PathBuf::from);
        let fetched = target()?.join(format!("toolchains/go{version}"));
        let roots = named.into_iter().chain([fetched]);
        if let Some(go) = roots.map(|root| root.join("bin/go")).find(|go| go.is_file()) {
            return Ok(Self(go));
        }
        match Self::find() {
            Ok(go) if go.says()? == format!("go{version}") => Ok(go),
            _ => bail!("there is no Go {version}: set {variable} to its GOROOT"),
        }
    }

    /// One that was linked against libc and so can resolve names by getaddrinfo: what `GMTRACE_GO_LIBC` names, or that of Debian's
    /// package golang-1.19-go. The official toolchains are not.
    ///
    /// # Errors
    /// When there is none.
    pub fn linked_with_libc() -> Result<Self> {
        let named =
            std::env::var_os("GMTRACE_GO_LIBC").map(|root| PathBuf::from(root).join("bin/go"));
        let go = named.unwrap_or_else(|| PathBuf::from("/usr/lib/go-1.19/bin/go"));
        if !go.is_file() {
            bail!(
                "there is no {}: install the package golang-1.19-go, or set GMTRACE_GO_LIBC",
                go.display()
            );
        }
        Ok(Self(go))
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.0.clone()
    }

    /// What it says its version is, such as `go1.24.11`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn says(&self) -> Result<String> {
        let output = Command::new(&self.0)
            .args(["env", "GOVERSION"])
            .env("GOTOOLCHAIN", "local")
            .output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The second number of its version: 24 of `go1.24.11`.
    ///
    /// # Errors
    /// When it cannot be run, or says something else.
    pub fn minor(&self) -> Result<u32> {
        let version = self.says()?;
        let minor =
            version.strip_prefix("go1.").and_then(|rest| rest.split(['.', 'r', 'b']).next());
        minor
            .and_then(|minor| minor.parse().ok())
            .with_context(|| format!("the minor of {version}"))
    }

    /// A fresh project for it.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn project(&self) -> Result<Project> {
        Project::new(self)
    }
}

/// gmtrace: what `GMTRACE_BIN` names, or the one built beside the program that runs now.
pub(crate) fn gmtrace() -> Result<PathBuf> {
    let program = match std::env::var_os("GMTRACE_BIN") {
        Some(program) => PathBuf::from(program),
        None => profile()?.join("gmtrace"),
    };
    if !program.is_file() {
        bail!(
            "there is no {}: run `cargo build -p gmtrace`, or set GMTRACE_BIN",
            program.display()
        );
    }
    Ok(program)
}

/// The directory with the programs of the profile that is being tested: `target/debug`, unless cargo was told otherwise.
fn profile() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let directory = program.parent().context("a program without a directory")?;
    let directory = if directory.ends_with("deps") { directory.parent() } else { Some(directory) };
    directory.map(Path::to_owned).context("target/deps without a parent")
}

fn target() -> Result<PathBuf> {
    profile()?.parent().map(Path::to_owned).context("a profile without a target directory")
}
