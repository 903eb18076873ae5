//! The report as one page that needs no network.
//!
//! A trace is untrusted input, so the page trusts none of it: the data is JSON in a block that no browser runs, `<` escaped;
//! the script makes text nodes of it; and a Content-Security-Policy lets nothing run or load but this very style and script,
//! named by their hashes (<https://www.w3.org/TR/CSP3/#framework-directive-source-list>).

use super::Report;
use super::chrome::visible;
use super::json::{Layout, encode};
use super::message::{Closing, Context, Offers, hint, stall};
use super::palette::Palette;
use super::ranking::end_of;
use serde_json::json;
use std::fmt::{self, Write};

const PAGE: &str = include_str!("page/page.html");
pub(super) const STYLE: &str = include_str!("page/page.css");
pub(super) const SCRIPT: &str = include_str!("page/page.js");
/// `sha256-` and the digest of [`STYLE`] in base64; a test compares them.
pub(super) const STYLE_HASH: &str = "sha256-bSKMghLjNcef5ja4eWX4jpVy4GfdPe9iR2X9awlxiP8=";
/// The same of [`SCRIPT`].
pub(super) const SCRIPT_HASH: &str = "sha256-neLbtcBa4X4czzon3yFHiKnYAWeAMHxuquHC7KEHVgs=";
/// Columns of the messages inside.
const WIDTH: usize = 100;

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, out: &mut impl Write) -> fmt::Result {
    let data = data(report)?;
    let mut pieces = PAGE.split('@');
    out.write_str(pieces.next().unwrap_or_default())?;
    for piece in pieces {
        out.write_str(match piece {
            "STYLE_HASH" => STYLE_HASH,
            "SCRIPT_HASH" => SCRIPT_HASH,
            "STYLE" => STYLE,
            "SCRIPT" => SCRIPT,
            "DATA" => &data,
            markup => markup,
        })?;
    }
    Ok(())
}

/// What the script reads: the report with every string showing what it contains, and the message of each finding.
fn data(report: &Report) -> Result<String, fmt::Error> {
    let messages: Vec<String> = report
        .findings
        .iter()
        .map(|finding| {
            let closing = Closing::More(hint(finding, Offers::default()));
            stall(finding, &Context { width: WIDTH, color: Palette::PLAIN, prefix: "", closing })
        })
        .collect();
    let report_value = serde_json::to_value(report).map_err(|_| fmt::Error)?;
    let data =
        json!({"report": visible(&report_value), "messages": messages, "end_ns": end_of(report)});
    encode(&data, Layout::Compact)
}
