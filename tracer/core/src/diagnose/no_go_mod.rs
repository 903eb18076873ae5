//! # no-go-mod: there is no go.mod here
//!
//! The command needs a module around the working directory, and no directory from here up has a go.mod.
//!
//! **Seen by** what go says.
//!
//! **What to do** Change to the module's directory (`go -C DIR ...`), make one (`go mod init`), or name modules with their versions:
//! `go mod download example.com/lib@v1.4.2`.

use super::draft::Draft;
use super::scene::Scene;
use super::silent::{self, Reason};
use crate::report::Finding;

const REASON: Reason = Reason {
    code: "no-go-mod",
    words: &[
        "no modules specified (see 'go help mod download')",
        "go.mod file not found in current directory or any parent directory",
        "does not contain main module or its selected dependencies",
    ],
    summary: "there is no go.mod here, so go does not know what to download.",
    setting: None,
};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    silent::draft(scene, &REASON).map(|made| advised(scene, made)).into_iter().collect()
}

fn advised(scene: &Scene<'_>, made: Draft<'_, '_>) -> Finding {
    made.or_else("the working directory is not the one that was meant")
        .fact("dir", [scene.session.header.cwd.clone()])
        .remedy("find it:", Some("find . -maxdepth 3 -name go.mod".to_owned()))
        .done()
}
