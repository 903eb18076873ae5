//! Licences, duplicates, sources and advisories of what gmtrace depends on, by cargo-deny.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::workspace::{Workspace, find_program, output_of, progress, succeed};

/// How long a fetch of the advisory database may take.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Checks everything that deny.toml rules.
///
/// The advisories need a database that cargo-deny fetches from a git host. Where that host cannot
/// be reached, this is said, and the rest of the verdict stands.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let program = provide(workspace)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--log-level", "warn", "--all-features", "--workspace"]);
        command.args(arguments).current_dir(&workspace.root);
        command
    };
    succeed(&mut deny(&["check", "licenses", "bans", "sources"]))?;
    match fetch_advisories(workspace, &program) {
        Ok(()) => succeed(&mut deny(&["check", "--disable-fetch", "advisories"])),
        Err(error) => {
            let error = format!("{error:#}");
            let reason = last_line(&error);
            progress(format!("NOT CHECKED: advisories; no advisory database here ({reason})"));
            Ok(())
        }
    }
}

/// Fetches the database. The bound matters: git waits for ever on a host that swallows packets.
fn fetch_advisories(workspace: &Workspace, program: &PathBuf) -> Result<()> {
    let mut fetch = Command::new("timeout");
    fetch.arg(FETCH_LIMIT.as_secs().to_string()).arg(program).args(["fetch", "db"]);
    output_of(fetch.current_dir(&workspace.root).env("GIT_TERMINAL_PROMPT", "0")).map(drop)
}

/// The installed cargo-deny, or one built into target/tools.
fn provide(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(program) = find_program("cargo-deny") {
        return Ok(program);
    }
    let tools = workspace.target.join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        progress("building cargo-deny into target/tools (once, a few minutes)");
        // It runs for a second: what a release build would save is less than what it costs.
        let mut install = workspace.cargo(&["install", "--quiet", "--locked", "--debug"]);
        install.arg("cargo-deny").env("CARGO_PROFILE_DEV_DEBUG", "false");
        succeed(install.arg("--root").arg(&tools))?;
    }
    Ok(program)
}

fn last_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_that_says_something() {
        assert_eq!(last_line("git clone\nfatal: could not resolve host\n\n"), {
            "fatal: could not resolve host"
        });
        assert_eq!(last_line(" \n"), "no reason given");
    }
}
