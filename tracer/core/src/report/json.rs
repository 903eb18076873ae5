//! The timeline as JSON (`gmtrace.timeline/1`).

use super::Report;
use crate::text::Escaped;
use serde::Serialize;
use std::fmt::{self, Write};

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Indented, for people.
    Pretty,
    /// On one line, for programs.
    Compact,
}

/// Writes the timeline, and a newline.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, layout: Layout, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "{}", encode(report, layout)?)
}

/// Any value as JSON that is harmless on a terminal and inside a page. A reader gets back exactly what was put in.
///
/// # Errors
/// If the value cannot be JSON, which no type of a report can cause.
pub(super) fn encode(value: &impl Serialize, layout: Layout) -> Result<String, fmt::Error> {
    let json = match layout {
        Layout::Pretty => serde_json::to_string_pretty(value),
        Layout::Compact => serde_json::to_string(value),
    };
    Ok(harmless(&json.map_err(|_| fmt::Error)?))
}

/// Writes `<`, `>`, `&` and all that [`Escaped`] would escape as `\uNNNN`. Such characters stand only inside the strings of a
/// JSON text, and are part of no escape there (RFC 8259, 7): JSON's own escapes and its structure are ASCII, and serde_json has
/// already escaped the controls below U+0020.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => out.push(c),
            '<' | '>' | '&' | '\u{7f}' => escape(c, &mut out),
            c if c.is_ascii() || is_harmless(c) => out.push(c),
            c => escape(c, &mut out),
        }
    }
    out
}

fn is_harmless(c: char) -> bool {
    let mut buffer = [0; 4];
    let raw: &str = c.encode_utf8(&mut buffer);
    Escaped(raw).to_string() == raw
}

fn escape(c: char, out: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}
