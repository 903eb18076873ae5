//! The page stands alone.

use super::sample::report;
use crate::report::html::{SCRIPT, SCRIPT_HASH, STYLE, STYLE_HASH, write};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn page() -> String {
    let mut out = String::new();
    write(&report(), &mut out).expect("a string takes all");
    out
}

/// What stands between two pieces of markup.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    page.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect(from).0
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[test]
fn only_this_style_and_script_may_run() {
    assert_eq!(STYLE_HASH, hash(STYLE));
    assert_eq!(SCRIPT_HASH, hash(SCRIPT));
    let page = page();
    assert_eq!(between(&page, "<style>", "</style>"), STYLE, "what is hashed is what is there");
    assert_eq!(between(&page, "<script>", "</script>"), SCRIPT);
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn it_loads_nothing_and_makes_no_markup() {
    let page = page();
    for reference in ["src=", "href=", "url(", "@import", "import(", "fetch(", "XMLHttp"] {
        assert!(!page.contains(reference), "{reference}");
    }
    for maker in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!page.contains(maker), "{maker}");
    }
}

#[test]
fn the_data_is_the_report() {
    let page = page();
    let data = between(&page, "<script type=\"application/json\" id=\"data\">", "</script>");
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(data["report"], serde_json::to_value(report()).expect("JSON"));
    assert!(data["messages"][0].as_str().is_some_and(|text| text.contains("  try       Ctrl-C")));
    assert_eq!(data["end_ns"], 31_000_000_000_u64);
}
