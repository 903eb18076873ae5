//! What watching costs: the bare command, gmtrace and strace on the same work.
//!
//! The columns are interleaved (A B C D D C B A), every run counts, and a row whose runs did not
//! all do the same work is marked invalid. Module cache and recordings are on tmpfs, and the module
//! proxy is a process of its own. What `gmtrace -p` takes is compared with nothing: nobody else answers.

mod attach;
mod columns;
mod environment;
mod machine;
mod measure;
mod memory;
mod render;
mod results;
mod rows;
mod server;
mod statistics;
mod targets;
mod work;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::debian;
use crate::docs;
use crate::workspace::{Workspace, progress};

use columns::Column;
use environment::Environment;
use machine::Machine;
use results::Results;
use rows::Row;

#[derive(Args)]
pub(crate) struct Options {
    /// Blocks of interleaved runs; each column runs twice in each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    blocks: u32,
    /// Only these rows
    #[arg(long = "row", value_enum)]
    rows: Vec<Row>,
    /// The go to measure with (the one in PATH, or else the newest toolchain)
    #[arg(long)]
    go: Option<PathBuf>,
    /// A folder on tmpfs
    #[arg(long, default_value = "/dev/shm")]
    tmpfs: PathBuf,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Put the table into README.md too
    #[arg(long)]
    readme: bool,
}

/// Measures, prints, and fails when a row is invalid.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let results = measure(workspace, options)?;
    match options.json {
        true => println!("{}", render::json(&results)?),
        false => print!("{}", render::text(&results)),
    }
    let invalid = results.invalid();
    ensure!(invalid.is_empty(), "invalid rows: {}", invalid.join("; "));
    if options.readme {
        docs::write_block(workspace, "bench", &render::markdown(&results))?;
    }
    Ok(())
}

fn measure(workspace: &Workspace, options: &Options) -> Result<Results> {
    debian::provide(debian::FOR_BENCH)?;
    progress("building gmtrace and the module proxy");
    let built = workspace.build_optimised(&["gmtrace", "gmtrace-tests"])?;
    let gmtrace = built.join("gmtrace");
    let environment = Environment::prepare(workspace, options.go.as_deref(), &options.tmpfs)?;
    measure::adopt_orphans()?;

    let (mut rows, mut looks) = (Vec::new(), Vec::new());
    for row in Row::chosen(&options.rows) {
        match row.prepare(&environment, &built)? {
            Some(prepared) => {
                let columns = row.columns(gmtrace.clone());
                rows.push(measure::row(row, &prepared, &columns, &environment, options)?);
            }
            None => looks = attach::measure(&gmtrace, &environment, options)?,
        }
    }
    let machine = Machine::describe(&Column::all(gmtrace), &environment)?;
    Ok(Results { machine, blocks: options.blocks, seed: options.seed, rows, looks })
}
