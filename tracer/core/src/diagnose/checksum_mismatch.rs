//! # checksum-mismatch: what came is not what was expected
//!
//! The hash of a download differs from the one in go.sum, or from the one the checksum database has for everybody. Either the version
//! was changed after it had been published (a tag was moved), or something between altered it, or a proxy sent something else.
//!
//! **Seen by** go's `checksum mismatch` and its security warning, which says which side disagrees.
//!
//! **What to do** Find out which side is wrong before anything else. Do not delete go.sum and do not switch the check off
//! to make it go away.

use super::draft::Draft;
use super::not_a_module_proxy;
use super::paste;
use super::said::{self, Line};
use super::scene::Scene;
use crate::report::{Finding, Remedy};
use crate::text;

/// How go begins its complaints (cmd/go/internal/modfetch/fetch.go; x/mod/sumdb/client.go for the last).
const COMPLAINTS: &[&str] = &[
    "checksum mismatch",
    "checksum missing from sumdb response",
    "go.sum database server misbehavior detected!",
];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let complaint = COMPLAINTS.iter().find_map(|what| said::lines(scene, what).into_iter().next());
    complaint.map(|line| told(scene, &line)).into_iter().collect()
}

fn told(scene: &Scene<'_>, line: &Line<'_>) -> Finding {
    let module = said::module_in(line.text);
    let name = module.as_deref().map_or("what came".to_owned(), text::module);
    let against = disagrees(line);
    let part = if line.text.contains("/go.mod:") { "the go.mod of " } else { "" };
    let summary = format!("{part}{name} does not match {against}.");
    let mut made = Draft::new(scene, "checksum-mismatch", line.pid, line.t, summary)
        .fact("sums", line.indented().take_while(|l| l.contains("h1:")))
        .seen(line.text.to_owned(), line.t, "stderr");
    if not_a_module_proxy::html_page(scene).is_some() {
        made = made.or_else("a web page came in place of the module, see not-a-module-proxy");
    }
    made = made
        .or_else("the version was changed after it had been published (a moved tag)")
        .or_else("a proxy or something between altered it");
    if let Some(module) = module {
        made = made.modules(vec![module.clone()]).remedy(
            "ask again from nothing, outside of this module:",
            Some(format!(
                "(cd / && GOMODCACHE=$(mktemp -d) go mod download -json {})",
                paste::word(&module)
            )),
        );
    }
    let mut finding = made.done();
    let never = "delete go.sum, or switch the check off, before it is known which side is wrong";
    finding.remedies.push(Remedy { text: never.to_owned(), command: None, safe: false });
    finding
}

/// Which side has another hash: `go.sum`, `go.work.sum`, or the checksum database by its name.
fn disagrees(line: &Line<'_>) -> String {
    let other =
        line.indented().filter(|l| l.contains("h1:")).find(|l| !l.starts_with("downloaded"));
    match other.and_then(|l| l.split(':').next()).map(str::trim) {
        Some(file) if file.ends_with(".sum") => file.to_owned(),
        Some(db) => format!("checksum database {db}"),
        None => "the checksum database".to_owned(),
    }
}
