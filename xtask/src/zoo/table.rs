//! The results for a terminal, for README.md and for programs.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde_json::{Value, json};

use super::outcome::{Outcome, Results, Trial};
use super::rows::{self, ROWS};
use super::test::Way;

const HEAD: [&str; 7] =
    ["scenario", "way", "expected", "given", "culprit", "confidence", "seconds"];

type Line = [String; HEAD.len()];

/// A line for each trial, why below those that are not right, and the sum.
pub(super) fn text(results: &Results, colours: bool) -> String {
    let alarm = if colours { AnsiColor::Red.on_default() } else { Style::new() };
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(results.trials.iter().map(cells));
    let widths: Vec<_> = (0..HEAD.len()).map(|column| widest(&lines, column)).collect();
    let mut text = padded(&lines, &widths, 0);
    for (number, trial) in results.trials.iter().enumerate() {
        let style = if trial.is_wrong() { alarm } else { Style::new() };
        text += &format!("{style}{}{style:#}", padded(&lines, &widths, number + 1));
        if let Some(why) = why(trial) {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "      {why}");
        }
    }
    for row in &results.missing {
        let _infallible =
            writeln!(text, "{:<3} {}: missing, {}", row.id, row.title, rows::WHY_MISSING);
    }
    format!("{text}\n{}\n{}\n", results.summary(), results.promptness())
}

fn cells(trial: &Trial) -> Line {
    let dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let given = match trial.outcome() {
        Outcome::Right => trial.given(),
        Outcome::Wrong(_) => Some(trial.given().unwrap_or("no answer")),
        Outcome::Skipped(_) => Some("skipped"),
        Outcome::NotApplicable(_) => Some("left out"),
    };
    let culprit = match trial.culprit() {
        Some("wrong") => "WRONG",
        Some(told) => told,
        None => "-",
    };
    [
        trial.test.title(),
        trial.test.way.name().to_owned(),
        dash(trial.expected()),
        dash(given),
        culprit.to_owned(),
        dash(trial.text("/given/confidence")),
        trial.seconds().map_or("-".to_owned(), |seconds| {
            format!("{seconds:.2}{}", if trial.is_late() { " late" } else { "" })
        }),
    ]
}

/// Why it is not right, in a line; and that it is, where it is known not to be.
fn why(trial: &Trial) -> Option<String> {
    let (word, why) = match (trial.outcome(), trial.missed()) {
        (Outcome::Right, None) => return None,
        (Outcome::Right, Some(_)) => ("right, though marked as missed", String::new()),
        (Outcome::Wrong(_), Some(missed)) => ("wrong, as is known", missed.to_owned()),
        (Outcome::Wrong(why), None) => ("wrong", why),
        (Outcome::Skipped(why), _) => ("skipped", why),
        (Outcome::NotApplicable(why), _) => ("left out", why),
    };
    let first = why.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let first: String = first.chars().take(160).collect();
    Some(format!("{word}: {first}"))
}

fn padded(lines: &[Line], widths: &[usize], number: usize) -> String {
    let cells = lines.get(number).into_iter().flatten().zip(widths);
    let cells: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
    cells.join("  ").trim_end().to_owned() + "\n"
}

fn widest(lines: &[Line], column: usize) -> usize {
    let cells = lines.iter().filter_map(|line| line.get(column));
    cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
}

/// A line for each row; notes say what keeps some from being asked.
pub(super) fn markdown(results: &Results) -> String {
    let mut notes: Vec<String> = Vec::new();
    let mut table =
        "| row | what hangs | ptrace | eBPF | attach |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for row in ROWS {
        let mut cell = |way| in_a_word(results, row.id, way, &mut notes);
        let cells = Way::ALL.map(&mut cell).join(" | ");
        let _infallible = writeln!(table, "| {} | {} | {cells} |", row.id, row.title);
    }
    let sources = results.trials.iter().filter_map(|trial| trial.text("/go"));
    let go = sources.max().unwrap_or("go");
    let _infallible = write!(table, "\n{}; {}; {go}.", results.summary(), results.promptness());
    for (number, note) in notes.iter().enumerate() {
        let _infallible = write!(table, "\n<br>[{}] {note}.", number + 1);
    }
    table
}

/// `right`, `wrong: http-silent`, `- [1]`: of all trials of a row in a way.
fn in_a_word(results: &Results, row: &str, way: Way, notes: &mut Vec<String>) -> String {
    let is_it = |trial: &&Trial| trial.test.way == way && trial.test.row().as_deref() == Some(row);
    let trials: Vec<&Trial> = results.trials.iter().filter(is_it).collect();
    if let Some(wrong) = trials.iter().find(|trial| trial.is_wrong()) {
        return format!("**wrong** [{}]", note(notes, wrong_in_words(wrong)));
    }
    if trials.iter().any(|trial| trial.outcome() == Outcome::Right) {
        return "right".to_owned();
    }
    let why = match trials.first().map(|trial| trial.outcome()) {
        Some(Outcome::NotApplicable(why) | Outcome::Skipped(why)) => why,
        _ => rows::WHY_MISSING.to_owned(),
    };
    format!("– [{}]", note(notes, why))
}

fn wrong_in_words(trial: &Trial) -> String {
    let expected = trial.expected().unwrap_or("an answer");
    if let Some(missed) = trial.missed() {
        return missed.to_owned();
    }
    match trial.given() {
        Some(given) if given != expected => format!("{given} was given, not {expected}"),
        Some(_) if trial.culprit() == Some("wrong") => format!("{expected} with a wrong culprit"),
        _ => why(trial).unwrap_or_default(),
    }
}

/// The number of a note, which is told once.
fn note(notes: &mut Vec<String>, text: String) -> usize {
    let known = notes.iter().position(|note| *note == text);
    known.unwrap_or_else(|| {
        notes.push(text);
        notes.len() - 1
    }) + 1
}

/// Everything.
pub(super) fn json(results: &Results) -> Result<String> {
    let document = json!({
        "rows": results.trials.iter().map(json_of).collect::<Vec<_>>(),
        "missing": results.missing.iter().map(|row| json!({"row": row.id, "title": row.title})).collect::<Vec<_>>(),
        "summary": results.summary(),
    });
    Ok(serde_json::to_string_pretty(&document)?)
}

fn json_of(trial: &Trial) -> Value {
    let (outcome, why) = match trial.outcome() {
        Outcome::Right => ("right", None),
        Outcome::Wrong(why) => ("wrong", Some(why)),
        Outcome::Skipped(why) => ("skipped", Some(why)),
        Outcome::NotApplicable(why) => ("not-applicable", Some(why)),
    };
    let mut line = trial.line.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    let known = [
        ("row", json!(trial.test.row())),
        ("test", json!(trial.test.scenario)),
        ("way", json!(trial.test.way.name())),
        ("run", json!(trial.run)),
        ("outcome", json!(outcome)),
        ("why", json!(why)),
    ];
    line.extend(known.map(|(key, value)| (key.to_owned(), value)));
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Verdict;
    use super::super::test::Test;
    use super::*;

    fn trial(name: &str, verdict: Verdict, line: Value) -> Trial {
        Trial { test: Test::parse(name).unwrap(), run: 1, verdict, line: Some(line) }
    }

    fn results() -> Results {
        let given = json!({"code": "http-silent", "confidence": "certain"});
        let right = json!({
            "outcome": "right", "expected": "http-silent", "given": given, "culprit": "right", "seconds": 0.05, "go": "go1.27.3",
        });
        let mut wrong = right.clone();
        wrong["outcome"] = json!("wrong");
        wrong["culprit"] = json!("wrong");
        wrong["why"] = json!("host: expected a, given b, in\n...");
        let left_out = json!({"outcome": "not-applicable", "why": "it has ended"});
        let trials = vec![
            trial("http::n16_x::ptrace", Verdict::Passed, right),
            trial("http::n16_x::ebpf", Verdict::Failed, wrong),
            trial("http::n16_x::attach", Verdict::Passed, left_out),
        ];
        let missing = ROWS.iter().filter(|row| row.id == "H9").collect();
        Results { trials, missing }
    }

    #[test]
    fn a_line_for_each_trial_and_why_it_is_not_right() {
        let text = text(&results(), false);
        let lines: Vec<&str> = text.lines().collect();
        let wanted = [
            "scenario      way     expected     given        culprit  confidence  seconds",
            "N16 http: x   ptrace  http-silent  http-silent  right    certain     0.05",
            "N16 http: x   ebpf    http-silent  http-silent  WRONG    certain     0.05",
            "      wrong: host: expected a, given b, in",
            "N16 http: x   attach  -            left out     -        -           -",
            "      left out: it has ended",
        ];
        let squeezed = |line: &&str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let given: Vec<String> = lines.iter().take(wanted.len()).map(squeezed).collect();
        assert_eq!(given, wanted.iter().map(squeezed).collect::<Vec<_>>());
        assert!(text.contains("H9  git computes for long without traffic: missing, no scenario"));
        assert!(text.contains("1 of 2 right; 1 wrong and certain of it"));
    }

    #[test]
    fn a_line_for_each_row_and_notes() {
        let table = markdown(&results());
        let row = table.lines().find(|line| line.starts_with("| N16 | ")).unwrap();
        assert!(
            row.starts_with("| N16 | a request is not answered | right | **wrong** ["),
            "{row}"
        );
        assert!(row.contains("] | – ["), "{row}");
        let notes: Vec<&str> = table.lines().filter(|line| line.starts_with("<br>[")).collect();
        assert!(notes.iter().any(|note| note.contains("http-silent with a wrong culprit")));
        assert!(notes.iter().any(|note| note.contains("it has ended")));
        assert!(table.contains("go1.27.3"));
    }
}
