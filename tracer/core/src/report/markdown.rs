//! The report for the step summary of a CI run: GitHub-flavoured Markdown.

use super::layout::plain;
use super::message::{Closing, Context, Offers, Outputs, end_line, hint, stall};
use super::palette::Palette;
use super::ranking::{busiest_hosts, end_of, slow_modules};
use super::text::{host_row, module_row};
use super::{Report, VerdictState};
use std::fmt::{self, Write};

/// Columns of the messages inside: a summary is as wide as a page.
const WIDTH: usize = 100;
/// Rows of a table at most.
const MOST_ROWS: usize = 10;

/// Writes the page.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "### {}: {}\n", state(report.verdict.state), escaped(&report.verdict.summary))?;
    losses(report, out)?;
    writeln!(out, "{}\n", escaped(&end_line(report, Outputs::default())))?;
    for finding in &report.findings {
        let more = Closing::More(hint(finding, Offers::default()));
        let context = Context { width: WIDTH, color: Palette::PLAIN, prefix: "", closing: more };
        fenced(&stall(finding, &context), out)?;
    }
    let now = end_of(report);
    let hosts = busiest_hosts(report, MOST_ROWS).into_iter().map(host_row);
    let head = ["host", "for", "connected", "failed", "received", "connect, median", "maximum"];
    table(&head, hosts.collect(), out)?;
    let modules = slow_modules(report, MOST_ROWS).into_iter().map(|module| module_row(module, now));
    table(&["module", "time", "received", "result", "longest wait"], modules.collect(), out)
}

fn state(state: VerdictState) -> &'static str {
    match state {
        VerdictState::Ok => "Went well",
        VerdictState::Slow => "Stalled on the way",
        VerdictState::Stalled => "Stalled",
        VerdictState::Failed => "Failed",
    }
}

fn losses(report: &Report, out: &mut impl Write) -> fmt::Result {
    for (cause, count) in &report.losses {
        writeln!(out, "> not seen: {count} {}\n", escaped(cause))?;
    }
    Ok(())
}

/// A block in which nothing means anything: its fence is longer than any run of backticks inside (CommonMark 4.5).
fn fenced(block: &str, out: &mut impl Write) -> fmt::Result {
    let longest = block.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    writeln!(out, "{fence}text\n{}\n{fence}\n", block.trim_end())
}

fn table(head: &[&str], rows: Vec<Vec<String>>, out: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "| {} |", head.join(" | "))?;
    writeln!(out, "|{}", " --- |".repeat(head.len()))?;
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    out.write_str("\n")
}

/// Text that means nothing but itself: any ASCII punctuation may be escaped by a backslash (CommonMark 2.4), and what could
/// begin a tag or an entity is written as an entity.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '.' | ',' | '-' | '/' | '(' | ')' | ';' | '%' | '=' => out.push(c),
            c if c.is_ascii_punctuation() => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}
