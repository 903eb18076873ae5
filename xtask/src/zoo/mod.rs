//! The hang zoo as one number: in how many hangs gmtrace names the right cause and the right culprit.
//!
//! The scenarios are tests, `NAME::WAY`, of `tests/tests/zoo`. libtest runs them, two things tell what became of each: libtest's own
//! line, and the line of JSON that the scenario writes (`tests/src/zoo/row.rs`).

mod go;
mod outcome;
mod rows;
mod suite;
mod table;
mod test;

use std::env;
use std::io::{IsTerminal, stdout};

use anyhow::{Result, ensure};
use clap::Args;

use crate::docs;
use crate::workspace::{Workspace, progress};

use outcome::Results;
use suite::Suite;
use test::Way;

#[derive(Args)]
pub(crate) struct Options {
    /// Only this row (N17), or scenarios whose name contains this (http2, n17_half)
    filter: Option<String>,
    /// Only this way of looking (may repeat)
    #[arg(long = "backend", value_enum, value_name = "WAY", value_delimiter = ',')]
    ways: Vec<Way>,
    /// The go command of the scenarios: a release such as 1.27 or 1.24.11, or 1.19 for Debian's (the one in PATH)
    #[arg(long, value_name = "VERSION")]
    go: Option<String>,
    /// Run them so many times
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Put a table of all rows into README.md too
    #[arg(long)]
    readme: bool,
}

/// Runs the scenarios and prints what was given; fails unless every row is right.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let is_whole = options.filter.is_none() && options.ways.is_empty();
    ensure!(is_whole || !options.readme, "--readme wants all rows: leave out FILTER and --backend");
    let suite = Suite::prepare(workspace, options.go.as_deref())?;
    let all = suite.tests()?;
    let chosen = test::choose(&all, options.filter.as_deref(), &options.ways)?;
    let missing = if options.filter.is_none() { rows::missing(&all) } else { Vec::new() };
    let trials = suite.run(&chosen, options.times)?;
    let results = Results { trials, missing };
    match options.json {
        true => println!("{}", table::json(&results)?),
        false => print!("{}", table::text(&results, may_be_coloured())),
    }
    if options.readme {
        docs::write_block(workspace, "zoo", &table::markdown(&results))?;
        progress("the table in README.md is new");
    }
    let wrong = results.wrong().count();
    ensure!(wrong == 0, "{wrong} wrong; what was seen stands in {}", suite.log().display());
    Ok(())
}

/// On a terminal, unless NO_COLOR is set (no-color.org).
fn may_be_coloured() -> bool {
    stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
