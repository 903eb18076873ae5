//! # goproxy-off: GOPROXY=off forbids the network
//!
//! With GOPROXY=off go uses what is in the module cache and fetches nothing.
//!
//! **Seen by** what go says, and the setting.
//!
//! **What to do** Unset GOPROXY, or set it to a module proxy you may use.

use super::draft::Draft;
use super::scene::Scene;
use super::silent::{self, Reason};
use crate::report::Finding;

const REASON: Reason = Reason {
    code: "goproxy-off",
    words: &["module lookup disabled by GOPROXY=off"],
    summary: "GOPROXY=off: go may not fetch anything.",
    setting: Some("GOPROXY"),
};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    silent::draft(scene, &REASON).map(|made| advised(scene, made)).into_iter().collect()
}

fn advised(scene: &Scene<'_>, made: Draft<'_, '_>) -> Finding {
    made.or_else("it is meant so, and the module cache is not complete")
        .remedy("allow go to fetch:", Some(silent::unset(scene, "GOPROXY")))
        .done()
}
