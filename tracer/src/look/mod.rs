//! Looking into what runs already: `gmtrace -p` and `gmtrace ps`.
//!
//! The work is done beside the process that the shell waits for, since a disk that is dead for the target is dead for whoever asks it.

mod following;
mod looking;
mod ps;
mod shown;

use crate::cli::{AttachOptions, Format, PsOptions, RunOptions};
use crate::output::files::Target;
use crate::run::plan::wait_for_threads;
use anyhow::{Result, bail};
use gmtrace::attach;
use gmtrace::launch;
use gmtrace_core::text::Escaped;
use gmtrace_core::units::Pid;
use looking::Looking;
use std::io::Write;
use std::process::ExitCode;

/// There was nothing to look into.
const NOTHING: u8 = 1;

/// `gmtrace -p`.
///
/// # Errors
/// Usage errors.
pub fn attach(options: RunOptions, attach: AttachOptions) -> Result<ExitCode> {
    let pids = attach::parse(&attach.pid)?;
    let targets = options.output.iter().map(|o| Target::parse(o)).collect::<Result<Vec<_>>>()?;
    if attach.format.is_some() && targets.iter().any(Target::is_stdout) {
        bail!("-F and -o - both write to standard output; give one of them");
    }
    wait_for_threads();
    let parent = Pid(std::process::id().cast_signed());
    let look = move || {
        let own = [parent, Pid(std::process::id().cast_signed())];
        let roots =
            pids.iter().map(|pid| attach::resolve(*pid, &own)).collect::<Result<Vec<_>, _>>();
        match roots {
            Ok(roots) => Looking::new(options, attach, targets, roots, own.to_vec()).run(),
            Err(why) => (refuse(&why.to_string()), None),
        }
    };
    let after = |streams: Option<crate::run::writing::Writing>| {
        if let Some(streams) = streams {
            streams.go_on();
        }
    };
    launch::aside(look, after)?.mirror()
}

/// `gmtrace ps`.
///
/// # Errors
/// What kept gmtrace from looking.
pub fn ps(options: &PsOptions, run: RunOptions) -> Result<ExitCode> {
    let parent = Pid(std::process::id().cast_signed());
    let work = move || {
        let own = vec![parent, Pid(std::process::id().cast_signed())];
        (ps::list(options, &run, own), ())
    };
    launch::aside(work, |()| ())?.mirror()
}

/// Says why nothing can be looked into.
fn refuse(why: &str) -> u8 {
    // Standard error may be closed; eprintln! would panic.
    let _closed = writeln!(std::io::stderr(), "gmtrace: {}", Escaped::lines(why));
    NOTHING
}

/// Whether the text for people goes to standard output.
fn is_text(attach: &AttachOptions, targets: &[Target]) -> bool {
    matches!(attach.format, None | Some(Format::Text)) && !targets.iter().any(Target::is_stdout)
}
