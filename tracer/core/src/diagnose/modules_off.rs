//! # modules-off: GO111MODULE=off
//!
//! Modules are switched off, so there is nothing that could be downloaded.
//!
//! **Seen by** what go says, and the setting.
//!
//! **What to do** Unset GO111MODULE; modules are the default since Go 1.16.

use super::draft::Draft;
use super::scene::Scene;
use super::silent::{self, Reason};
use crate::report::Finding;

const REASON: Reason = Reason {
    code: "modules-off",
    words: &["modules disabled by GO111MODULE=off"],
    summary: "modules are switched off, so nothing is downloaded.",
    setting: Some("GO111MODULE"),
};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    silent::draft(scene, &REASON).map(|made| advised(scene, made)).into_iter().collect()
}

fn advised(scene: &Scene<'_>, made: Draft<'_, '_>) -> Finding {
    made.remedy("use modules:", Some(silent::unset(scene, "GO111MODULE"))).done()
}
