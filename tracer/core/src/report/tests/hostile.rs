//! Whatever stands in the fields of a report, no output carries it raw.

use super::sample::report;
use crate::report::explain::explain_page;
use crate::report::live::{LiveState, live_line};
use crate::report::message::{
    Closing, Context, Offers, Outputs, PREFIX, end_line, hint, moving_again, stall, still_waiting,
};
use crate::report::palette::Palette;
use crate::report::{Report, chrome, html, json, markdown, perfetto, text};
use crate::text::{Escaped, width};
use crate::units::Nanos;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

/// Every string of the sample, keys of maps too, followed by `text`; where that is no report any more (the values of closed
/// sets, the keys of structs), the string stays.
fn with_everywhere(text: &str) -> Report {
    let mut value = serde_json::to_value(report()).expect("a report is JSON");
    for pointer in strings(&value, String::new()) {
        let mut changed = value.clone();
        if let Some(Value::String(leaf)) = changed.pointer_mut(&pointer) {
            leaf.push_str(text);
        }
        if serde_json::from_value::<Report>(changed.clone()).is_ok() {
            value = changed;
        }
    }
    for pointer in ["/losses", "/go/env", "/modules/0/wait_ns", "/spans/1/attrs"] {
        let map = value.pointer_mut(pointer).and_then(Value::as_object_mut).expect(pointer);
        let old: Map<String, Value> = std::mem::take(map);
        map.extend(old.into_iter().map(|(key, value)| (format!("{key}{text}"), value)));
    }
    serde_json::from_value(value).expect("still a report")
}

fn strings(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::String(_) => vec![at],
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(key, value)| strings(value, format!("{at}/{key}"))).collect()
        }
        Value::Object(map) => {
            map.iter().flat_map(|(key, value)| strings(value, format!("{at}/{key}"))).collect()
        }
        _ => Vec::new(),
    }
}

fn written(render: impl Fn(&mut String) -> std::fmt::Result) -> String {
    let mut out = String::new();
    render(&mut out).expect("a string takes all");
    out
}

/// Every output that is text, by name.
fn outputs(report: &Report) -> Vec<(&'static str, String)> {
    let finding = report.findings.first().expect("the sample has one");
    let context = |closing| Context { width: 80, color: Palette::PLAIN, prefix: PREFIX, closing };
    let waiting = Some((report.hosts[0].host.clone(), Nanos::from_secs(3)));
    let kept = Outputs { files: &report.command.argv, kept: Some(&report.command.cwd) };
    let more = Closing::More(hint(finding, Offers::default()));
    vec![
        ("message", stall(finding, &context(more))),
        ("unseen", stall(finding, &context(Closing::Unseen(report.backend.unseen.clone())))),
        ("moving", moving_again(finding, Nanos(1))),
        ("still", still_waiting(finding, Nanos(1))),
        ("end", end_line(report, kept)),
        ("live", live_line(&LiveState { waiting, ..LiveState::default() }, 80)),
        ("text", text::report(report, 80, Palette::PLAIN)),
        ("explain", explain_page(&report.notes[0], 80, Palette::PLAIN)),
        ("markdown", written(|out| markdown::write(report, out))),
        ("html", written(|out| html::write(report, out))),
        ("chrome", written(|out| chrome::write(report, out))),
        ("json", written(|out| json::write(report, json::Layout::Pretty, out))),
        ("json line", written(|out| json::write(report, json::Layout::Compact, out))),
    ]
}

fn is_shown(c: char) -> bool {
    let raw = c.to_string();
    c == '\n' || Escaped(&raw).to_string() == raw
}

/// Strings made of what attacks terminals, pages, tables and readers.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        select(vec![
            "\u{1b}[2J",
            "\u{1b}]0;x\u{7}",
            "\u{9b}31m",
            "\u{202e}",
            "\u{2066}",
            "\u{2028}",
            "\u{200b}",
            "\u{7f}",
            "\n",
            "\r\n",
            "\t",
            "\0",
            "</script>",
            "<script>",
            "<!--",
            "\"",
            "'",
            "\\",
            "\\u001b",
            "&lt;",
            "|",
            "```",
            "``",
            "` ",
            "](x)",
            "@",
            "::error::",
            "模块",
            "e\u{301}",
            "\u{e0041}",
            "\u{feff}",
            " ",
            "a",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

fn page(report: &Report) -> String {
    written(|out| html::write(report, out))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_arrives_raw(text in hostile()) {
        let report = with_everywhere(&text);
        for (name, output) in outputs(&report) {
            prop_assert!(output.chars().all(is_shown), "{name}: {output:?}");
        }
        for string in perfetto::tests::strings(&perfetto::encode(&report)) {
            prop_assert!(string.chars().all(|c| c != '\n' && is_shown(c)), "{string:?}");
        }
    }

    #[test]
    fn messages_keep_their_lines_and_their_width(text in hostile()) {
        let report = with_everywhere(&text);
        let calm = crate::report::tests::sample::report();
        for ((name, output), (_, model)) in outputs(&report).into_iter().zip(outputs(&calm)) {
            if ["moving", "still", "end", "live"].contains(&name) {
                prop_assert!(!output.contains('\n'), "{name}: {output:?}");
            }
            if name == "message" {
                let commands: Vec<String> = report.findings[0].remedies.iter()
                    .filter_map(|remedy| remedy.command.as_ref())
                    .map(|command| Escaped(command).to_string())
                    .collect();
                for line in output.lines().filter(|line| width(line) > 80) {
                    let command = commands.iter().any(|command| line.trim_end().ends_with(command.trim_end()));
                    prop_assert!(command, "{line:?}");
                }
                let labels = |text: &str| text.lines().filter(|line| {
                    line.starts_with("  ") && !line.starts_with("   ")
                }).count();
                prop_assert_eq!(labels(&output), labels(&model));
            }
        }
    }

    #[test]
    fn no_tag_comes_from_data(text in hostile()) {
        let (page, model) = (page(&with_everywhere(&text)), page(&report()));
        for tag in ["<", "</script", "<script", "<!--"] {
            prop_assert_eq!(page.matches(tag).count(), model.matches(tag).count(), "{}", tag);
        }
    }

    #[test]
    fn no_markup_comes_from_data(text in hostile()) {
        let output = written(|out| markdown::write(&with_everywhere(&text), out));
        let kinds = |text: &str| {
            let parser = pulldown_cmark::Parser::new_ext(text, pulldown_cmark::Options::ENABLE_TABLES);
            parser.filter_map(|event| match event {
                pulldown_cmark::Event::Start(tag) => Some(format!("{:?}", tag.to_end())),
                pulldown_cmark::Event::Html(_) | pulldown_cmark::Event::InlineHtml(_) => Some("html".to_owned()),
                _ => None,
            }).collect::<Vec<_>>()
        };
        let model = written(|out| markdown::write(&report(), out));
        prop_assert_eq!(kinds(&output), kinds(&model));
    }

    #[test]
    fn json_gives_back_what_was_put_in(text in hostile()) {
        let report = with_everywhere(&text);
        let output = written(|out| json::write(&report, json::Layout::Compact, out));
        prop_assert_eq!(output.lines().count(), 1);
        prop_assert_eq!(serde_json::from_str::<Report>(&output).expect("JSON"), report);
    }
}

/// The tests above would prove nothing if the text did not get into the fields.
#[test]
fn the_text_gets_everywhere() {
    let report = serde_json::to_string(&with_everywhere("\u{1b}!")).expect("JSON");
    assert!(report.matches("\\u001b!").count() > 90, "{report}");
}
