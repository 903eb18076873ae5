//! The chores of gmtrace. `cargo xtask help` lists them; `CONTRIBUTING.md` says when to run which.

mod arrows;
mod bench;
mod bpf;
mod check;
mod debian;
mod demo;
mod deny;
mod docs;
mod kernels;
mod tests;
mod toolchains;
mod workspace;
mod zoo;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The chores of gmtrace.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build gmtrace and run it on a real module, then on a proxy that never answers
    Demo,
    /// Install or name every missing piece, then run all tests
    Test(tests::Options),
    /// Format, lints, arrows between rooms, dependencies, generated docs
    Check,
    /// Fetch official Go toolchains from PyPI into target/toolchains
    Toolchains(toolchains::Options),
    /// Build the eBPF programs; the object is kept in the repository
    Bpf(bpf::Options),
    /// Boot older kernels in an emulated machine, and try eBPF there
    Kernels(kernels::Options),
    /// Write the generated parts of README.md
    Docs(docs::Options),
    /// Run the hang zoo: in how many hangs the right cause and the right culprit are named
    Zoo(zoo::Options),
    /// Measure gmtrace beside the bare command and strace
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    let workspace = Workspace::find()?;
    match chore {
        Chore::Demo => demo::run(&workspace),
        Chore::Test(options) => tests::run(&workspace, &options),
        Chore::Check => check::run(&workspace),
        Chore::Toolchains(options) => toolchains::run(&workspace, &options),
        Chore::Bpf(options) => bpf::run(&workspace, &options),
        Chore::Kernels(options) => kernels::run(&workspace, &options),
        Chore::Docs(options) => docs::run(&workspace, &options),
        Chore::Zoo(options) => zoo::run(&workspace, &options),
        Chore::Bench(options) => bench::run(&workspace, &options),
    }
}
