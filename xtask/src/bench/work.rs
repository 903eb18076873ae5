//! The modules and repositories that the rows fetch.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::workspace::{find_program, succeed};

use super::environment::Environment;

/// Makes a module that requires v1.0.0 of each of `modules`.
pub(super) fn module_that_requires(
    parent: &Path,
    name: &str,
    modules: impl Iterator<Item = String>,
) -> Result<PathBuf> {
    let folder = parent.join(name);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("go.mod"), go_mod("bench.example.com/main", modules))?;
    Ok(folder)
}

fn go_mod(path: &str, requires: impl Iterator<Item = String>) -> String {
    let requires: Vec<_> = requires.map(|module| format!("\t{module} v1.0.0\n")).collect();
    match requires.is_empty() {
        true => format!("module {path}\n\ngo 1.21\n"),
        false => format!("module {path}\n\ngo 1.21\n\nrequire (\n{})\n", requires.concat()),
    }
}

/// Makes one git repository for each module path, and lets git read them from disk where go asks
/// for an https URL (`url.<base>.insteadOf`, git-config(1)): no network, all of git's processes.
pub(super) fn repositories(environment: &Environment, paths: &[String]) -> Result<()> {
    let parent = environment.folder().join("repositories");
    for path in paths {
        repository(environment, &parent.join(path), path)?;
    }
    let parent = parent.display();
    let config = format!("[url \"file://{parent}/git.\"]\n\tinsteadOf = https://git.\n");
    Ok(fs::write(environment.folder().join("gitconfig"), config)?)
}

fn repository(environment: &Environment, folder: &Path, path: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("go.mod"), go_mod(path, std::iter::empty()))?;
    fs::write(folder.join("lib.go"), "package lib\n")?;
    let person = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"];
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "."],
        &["commit", "--quiet", "--message=First"],
        &["tag", "v1.0.0"],
    ] {
        let git = find_program("git").unwrap_or_else(|| "git".into());
        let mut command = environment.command(&git);
        succeed(command.args(person).args(arguments).current_dir(folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_go_mod_as_go_does() {
        assert_eq!(go_mod("a.example.com", std::iter::empty()), {
            "module a.example.com\n\ngo 1.21\n"
        });
        let requires = ["b.example.com/x".to_owned()];
        assert_eq!(
            go_mod("a.example.com", requires.into_iter()),
            "module a.example.com\n\ngo 1.21\n\nrequire (\n\tb.example.com/x v1.0.0\n)\n"
        );
    }
}
