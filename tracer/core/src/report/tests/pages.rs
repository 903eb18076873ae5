//! The report as a page of text, byte for byte.

use super::sample::{calm, report, spans};
use crate::report::palette::Palette;
use crate::report::{Report, markdown, text};
use crate::text::width;

#[test]
fn a_report_on_a_terminal() {
    let page = text::report(&report(), 80, Palette::PLAIN);
    assert_eq!(page, include_str!("report.txt"));
}

#[test]
fn a_report_in_a_step_summary() {
    let mut page = String::new();
    markdown::write(&report(), &mut page).expect("a string takes all");
    assert_eq!(page, include_str!("report.md"));
}

#[test]
fn losses_come_first_and_only_where_there_are_any() {
    assert!(text::report(&report(), 80, Palette::PLAIN).starts_with("Not everything was seen."));
    let whole = text::report(&calm(), 80, Palette::PLAIN);
    assert!(whole.starts_with("It ended well.\n") && !whole.contains("seen."), "{whole}");
}

#[test]
fn a_table_of_long_names_fits() {
    let mut long = Report { spans: [spans(), spans(), spans()].concat(), ..report() };
    for span in &mut long.spans {
        span.name = format!("example.com/{}/v2", "模块/".repeat(40));
    }
    long.hosts[0].host = format!("{}.example.com", "sub.".repeat(40));
    let page = text::report(&long, 80, Palette::PLAIN);
    assert!(page.contains("(10 of 21)") && page.contains("…"));
    assert!(page.lines().all(|line| width(line) <= 80), "{page}");
}

#[test]
fn an_empty_report_says_little() {
    let empty = Report {
        processes: Vec::new(),
        spans: Vec::new(),
        modules: Vec::new(),
        hosts: Vec::new(),
        notes: Vec::new(),
        go: None,
        ..calm()
    };
    let page = text::report(&empty, 80, Palette::PLAIN);
    assert_eq!(page.lines().count(), 8, "{page}");
    assert!(page.contains("  go        none was seen"), "{page}");
}
