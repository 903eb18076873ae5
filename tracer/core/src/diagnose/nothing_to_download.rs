//! # nothing-to-download: go.mod requires nothing
//!
//! The module requires no other one. `go mod download` then says so and ends well.
//!
//! **Seen by** go.mod, and what go says.
//!
//! **What to do** Nothing, unless requirements are missing: `go mod tidy` adds those that the source needs.

use super::scene::Scene;
use super::silent::{self, Reason};
use crate::report::Finding;

const REASON: Reason = Reason {
    code: "nothing-to-download",
    words: &["no module dependencies to download"],
    summary: "go.mod requires no module, so there is nothing to download.",
    setting: None,
};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let made = silent::draft(scene, &REASON);
    made.map(|made| {
        made.remedy("add what the source needs:", Some("go mod tidy".to_owned())).done()
    })
    .into_iter()
    .collect()
}
