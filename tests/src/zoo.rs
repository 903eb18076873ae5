//! The words in which the scenarios of the zoo are written: run a command, wait until it hangs, expect an answer, let go.
//!
//! ```no_run
//! # use gmtrace_tests::{servers::*, zoo::Way};
//! # fn scenario(way: &Way, project: gmtrace_tests::go::Project, proxy: HttpServer<ModuleProxy>) -> anyhow::Result<()> {
//! proxy.faults().on(".zip", Fault::Silent);
//! let hang = way.run(project.go(["mod", "download"]).proxy(&proxy.url()))?;
//! proxy.wait_for(".zip")?; // the proof from outside that this is the hang it claims to be
//! hang.stalls()?.expect("http-silent").role("module-proxy").address("127.0.0.1").module("example.com/m000@v1.0.0");
//! proxy.faults().lift();
//! hang.succeeds()?.expect("http-silent").state("slow");
//! # Ok(())
//! # }
//! ```
//!
//! [`scenario!`](crate::scenario) makes a test of it for each way of looking. Every answer is checked against the JSON Schemas that
//! gmtrace prints, and the recording is rendered again: it must give the same code, role and culprit as the run did. What became of
//! each test is written to the file that `GMTRACE_ZOO_ROWS` names, for `cargo xtask zoo`.

#![allow(clippy::panic, reason = "an expectation that does not hold ends its test")]

mod answer;
mod attached;
mod found;
mod hang;
mod row;
mod scenario;
mod watched;

pub use answer::Answer;
pub use attached::{Hung, gmtrace, hang, look};
pub use found::Found;
pub use hang::{Ended, Hang};
pub use scenario::{Looking, Outcome, Trial, Way};
use watched::watch_by_with;
pub use watched::{Watched, watch_by};

use anyhow::Result;

use crate::go::Go;

/// The go command of the scenarios: the one in PATH, or what `GMTRACE_ZOO_GO` names: a version (`1.21.13`), or `debian` for the one of
/// [`Go::linked_with_libc`].
///
/// # Errors
/// When there is none.
pub fn go() -> Result<Go> {
    match std::env::var("GMTRACE_ZOO_GO").as_deref() {
        Ok("debian") => Go::linked_with_libc(),
        Ok(version) => Go::version(version),
        Err(_) => Go::find(),
    }
}
