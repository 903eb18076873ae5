//! Running a command and watching it: plan, launch, end as it ended.

mod collector;
mod limits;
pub mod plan;
mod privileges;
mod tree;
mod watching;
pub mod writing;

use crate::cli::RunOptions;
use crate::exit;
use anyhow::{Result, bail};
use gmtrace::capture::clock::Clock;
use gmtrace::launch;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Runs `argv` and ends as it ends.
///
/// # Errors
/// What kept the command from being started.
pub fn command(options: RunOptions, argv: Vec<OsString>) -> Result<ExitCode> {
    if argv.is_empty() {
        let help = crate::cli::definition().render_help();
        // Standard error may be closed; eprint! would panic.
        let _closed = write!(std::io::stderr(), "{help}");
        return Ok(ExitCode::from(exit::FAILED));
    }
    let planned = plan::plan(&options, argv)?;
    let clock = Clock::start();
    let watching =
        watching::Watching::new(options, planned.header, planned.targets, planned.started)
            .without(planned.without_probes);
    let ended = launch::run(planned.launch, planned.probes, clock, move |side| watching.run(side));
    match ended {
        Ok(ended) => ended.mirror(),
        Err(error) => bail!("cannot start anything: {error}"),
    }
}
