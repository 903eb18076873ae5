//! Everything that a change must pass besides the tests.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, output_of, progress, succeed};
use crate::{arrows, bpf, deny, docs};

type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STEPS: &[Step] = &[
    ("format", format),
    ("arrows between rooms", arrows::check),
    ("clippy", clippy),
    ("clippy for aarch64", clippy_for_aarch64),
    ("dependencies", deny::check),
    ("generated docs", docs::check),
    ("eBPF object", bpf::check),
];

/// Runs every step, even after one failed, so that one run names all that is wrong.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let failed: Vec<_> = STEPS.iter().filter(|step| !holds(workspace, step)).collect();
    let names: Vec<_> = failed.iter().map(|(name, _)| *name).collect();
    ensure!(names.is_empty(), "check failed: {}", names.join(", "));
    progress("check passed");
    Ok(())
}

fn holds(workspace: &Workspace, (name, step): &Step) -> bool {
    progress(format!("check: {name}"));
    let started = Instant::now();
    let result = step(workspace);
    let took = started.elapsed().as_secs_f64();
    match &result {
        Ok(()) => progress(format!("check: {name}: ok, {took:.1} s")),
        Err(error) => progress(format!("check: {name}: FAILED, {took:.1} s\n{error:#}")),
    }
    result.is_ok()
}

/// Every file, not only those that `cargo fmt` finds: it does not look into macros, and the rules of
/// the catalogue are modules that a macro declares.
fn format(workspace: &Workspace) -> Result<()> {
    let mut files = Command::new("git");
    files.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]);
    let files = output_of(files.current_dir(&workspace.root))?;
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--check", "--edition", "2024"]).args(files.lines());
    let formatted = rustfmt.current_dir(&workspace.root).status().context("rustfmt")?;
    ensure!(formatted.success(), "write it by: git ls-files '*.rs' | xargs rustfmt --edition 2024");
    Ok(())
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let arguments = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    succeed(&mut workspace.cargo(&arguments))
}

/// The other architecture that gmtrace is for: what is shipped, compiled as far as a missing linker allows.
fn clippy_for_aarch64(workspace: &Workspace) -> Result<()> {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let installed = output_of(Command::new("rustup").args(["target", "list", "--installed"]))?;
    if !installed.lines().any(|target| target == TARGET) {
        progress(format!("installing Rust's standard library for {TARGET}"));
        succeed(Command::new("rustup").args(["target", "add", TARGET]))?;
    }
    let mut clippy = workspace.cargo(&["clippy", "--quiet", "--package", "gmtrace"]);
    succeed(clippy.args(["--target", TARGET, "--", "-D", "warnings"]))
}
