//! The real go command, in an environment that touches nothing of the user's.

mod command;
mod running;
mod toolchain;

pub use command::{Finished, GoCommand};
pub use running::Running;
pub use toolchain::Go;
pub(crate) use toolchain::gmtrace;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use tempfile::TempDir;

use crate::servers::Modules;

/// A module of our own in a temporary directory, with HOME, GOPATH, GOMODCACHE and GOCACHE of its own. All of it is gone when the
/// project and its commands are.
#[derive(Debug)]
pub struct Project {
    go: Go,
    room: Arc<TempDir>,
}

impl Project {
    /// A module `example.com/project` without requirements.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn new(go: &Go) -> Result<Self> {
        let project = Self { go: go.clone(), room: Arc::new(tempfile::tempdir()?) };
        fs::create_dir_all(project.directory())?;
        fs::create_dir_all(project.home().join(".config/go/telemetry"))?;
        // GOTELEMETRY cannot be set in the environment: this file is what `go telemetry off` writes.
        fs::write(project.home().join(".config/go/telemetry/mode"), "off")?;
        project.file("go.mod", "module example.com/project\n\ngo 1.21\n")
    }

    /// Requires all of `modules`.
    ///
    /// # Errors
    /// When go.mod cannot be written.
    pub fn requires(self, modules: &Modules) -> Result<Self> {
        modules
            .iter()
            .try_fold(self, |project, module| project.require(&module.path, &module.version))
    }

    /// Requires a module.
    ///
    /// # Errors
    /// When go.mod cannot be written.
    pub fn require(self, path: &str, version: &str) -> Result<Self> {
        let mut go_mod = fs::read_to_string(self.directory().join("go.mod"))?;
        writeln!(go_mod, "\nrequire {path} {version}")?;
        self.file("go.mod", &go_mod)
    }

    /// Writes a file of the module, `go.sum` for example, over what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(self, name: &str, content: &str) -> Result<Self> {
        fs::write(self.directory().join(name), content)?;
        Ok(self)
    }

    /// Where the module is, and where commands run.
    pub fn directory(&self) -> PathBuf {
        self.room.path().join("project")
    }

    /// HOME of its commands.
    pub fn home(&self) -> PathBuf {
        self.room.path().join("home")
    }

    /// GOMODCACHE of its commands. It can be given to another project by [`GoCommand::env`].
    pub fn modcache(&self) -> PathBuf {
        self.room.path().join("gopath/pkg/mod")
    }

    /// The directory around all of it: a place for the files of a scenario.
    pub fn room(&self) -> &Path {
        self.room.path()
    }

    /// A hold on the directory for as long as a command runs in it.
    fn hold(&self) -> Arc<TempDir> {
        Arc::clone(&self.room)
    }

    /// `go` with these arguments.
    pub fn go<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> GoCommand {
        self.command(&self.go.program(), arguments)
    }

    /// Any program, in the same environment.
    pub fn command<S: AsRef<str>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> GoCommand {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        GoCommand::new(self, program, arguments.collect())
    }
}
