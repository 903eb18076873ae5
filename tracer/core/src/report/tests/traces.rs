//! Traces nest, in both formats.

use super::sample::{report, spans};
use crate::report::{Report, Span, chrome, perfetto};
use crate::units::Nanos;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::HashMap;

fn events(report: &Report) -> Vec<Value> {
    let mut out = String::new();
    chrome::write(report, &mut out).expect("a string takes all");
    let lines = out.lines().count();
    let events: Vec<Value> = serde_json::from_str(&out).expect("an array");
    assert_eq!(lines, events.len() + 2, "one event a line");
    events
}

/// What a viewer requires (Trace Event Format; perfetto: docs/getting-started/other-formats.md).
fn check(events: &[Value]) -> Result<(), String> {
    let mut open: HashMap<String, Vec<String>> = HashMap::new();
    let mut last = 0.0;
    for event in events {
        let fail = |why: &str| Err(format!("{why}: {event}"));
        let phase = event["ph"].as_str().ok_or("no phase")?;
        if !event["pid"].is_u64() || !event["tid"].is_u64() || !event["name"].is_string() {
            return fail("pid, tid or name");
        }
        match (phase, event["ts"].as_f64()) {
            ("M", None) => continue,
            ("M", Some(_)) | (_, None) => return fail("ts"),
            ("X", Some(_)) if event["dur"].as_f64().is_none_or(|dur| dur < 0.0) => {
                return fail("dur");
            }
            ("X", Some(_)) => continue,
            (_, Some(ts)) if ts < last => return fail("back in time"),
            (_, Some(ts)) => last = ts,
        }
        let lane = format!("{} {} {}", event["pid"], event["cat"], event["id"]);
        let name = event["name"].to_string();
        match phase {
            "b" => open.entry(lane).or_default().push(name),
            "e" if open.entry(lane).or_default().pop() != Some(name) => {
                return fail("closes another");
            }
            "e" => {}
            "i" if event["s"] == "p" => {}
            _ => return fail("phase"),
        }
    }
    match open.values().all(Vec::is_empty) {
        true => Ok(()),
        false => Err("left open".to_owned()),
    }
}

#[test]
fn a_chrome_trace_is_what_viewers_require() {
    check(&events(&report())).unwrap();
}

#[test]
fn the_check_finds_what_does_not_nest() {
    let mut crossed = events(&report());
    for event in crossed.iter_mut().filter(|event| event["ph"] == "b" || event["ph"] == "e") {
        event["id"] = "0x0".into();
        event["cat"] = "work".into();
    }
    check(&crossed).unwrap_err();
}

#[test]
fn times_are_microseconds_with_their_nanoseconds() {
    let mut report = report();
    report.stalls[0].start_ns = Nanos(123_456_789);
    let events = events(&report);
    assert!(events.iter().any(|event| event["cat"] == "stall" && event["ts"] == 123_456.789));
}

#[test]
fn what_goes_on_is_marked_and_ends_with_the_report() {
    let events = events(&report());
    let lock = |phase: &str| {
        let name = "lock of 00000000000000a7";
        events.iter().find(|event| event["ph"] == phase && event["name"] == name).unwrap().clone()
    };
    assert_eq!(lock("b")["args"]["unfinished"], true);
    assert_eq!(lock("e")["ts"], 31_000_000.0);
}

proptest! {
    #[test]
    fn any_spans_nest(times in prop::collection::vec((0u64..40, 0u64..40, 0usize..10, any::<bool>()), 0..60)) {
        let kinds = spans();
        let made = times.iter().enumerate().map(|(number, (start, length, parent, open))| Span {
            id: format!("{number:016x}"),
            parent: Some(format!("{parent:016x}")),
            name: format!("span {number}"),
            start_ns: Nanos(*start),
            end_ns: (!open).then_some(Nanos(start + length)),
            ..kinds[1 + number % (kinds.len() - 1)].clone()
        });
        let report = Report { spans: made.collect(), findings: Vec::new(), ..report() };
        let events = events(&report);
        prop_assert_eq!(check(&events), Ok(()));
        let begins = events.iter().filter(|event| event["ph"] == "b" && event["cat"] == "work").count();
        prop_assert_eq!(begins, times.len());
        prop_assert_eq!(perfetto::tests::check(&perfetto::encode(&report)), Ok(times.len()));
    }
}

#[test]
fn a_perfetto_trace_is_read_back() {
    assert_eq!(perfetto::tests::check(&perfetto::encode(&report())), Ok(spans().len() - 1));
}
