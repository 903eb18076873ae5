//! # vendored: the vendor directory is used
//!
//! Packages come from the module's own `vendor` directory; nothing is downloaded.
//!
//! **Seen by** `-mod=vendor`, or a vendor directory beside a go.mod of Go 1.14 or newer.
//!
//! **What to do** Nothing, if that is meant. `-mod=mod` uses the module cache; `go mod vendor` brings the directory up to date.

use super::scene::Scene;
use super::silent::{self, Reason};
use crate::report::Finding;

const REASON: Reason = Reason {
    code: "vendored",
    words: &["inconsistent vendoring in", "import lookup disabled by -mod=vendor"],
    summary: "the vendor directory is used, so nothing is downloaded.",
    setting: Some("GOFLAGS"),
};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let made = silent::draft(scene, &REASON);
    made.map(|made| made.remedy("bring it up to date:", Some("go mod vendor".to_owned())).done())
        .into_iter()
        .collect()
}
