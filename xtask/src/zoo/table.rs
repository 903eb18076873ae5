//! The results for a terminal, for README.md and for programs.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::outcome::{Outcome, Results, Trial};
use super::rows::ROWS;
use super::test::Way;

const HEAD: [&str; 7] =
    ["scenario", "way", "expected", "given", "culprit", "confidence", "seconds"];

type Line = [String; HEAD.len()];

/// A line for each trial, why below those that are not right, and the sum.
pub(super) fn text(results: &Results) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(results.trials.iter().map(cells));
    let widths: Vec<_> = (0..HEAD.len()).map(|column| widest(&lines, column)).collect();
    let mut text = padded(&lines, &widths, 0);
    for (number, trial) in results.trials.iter().enumerate() {
        text += &padded(&lines, &widths, number + 1);
        if let Some(why) = why(trial) {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "      {why}");
        }
    }
    for row in &results.missing {
        let _infallible =
            writeln!(text, "{:<3} {}: missing, it has no scenario yet", row.id, row.title);
    }
    text + "\n" + &results.summary() + "\n"
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
        Some(true) => "right",
        Some(false) => "WRONG",
        None if trial.is_wrong() => "WRONG",
        None => "-",
    };
    [
        trial.test.title(),
        trial.test.way.name().to_owned(),
        dash(trial.expected()),
        dash(given),
        culprit.to_owned(),
        dash(trial.text("/given/confidence")),
        trial.seconds().map_or("-".to_owned(), |seconds| format!("{seconds:.2}")),
    ]
}

/// Why it is not right, in a line.
fn why(trial: &Trial) -> Option<String> {
    let (word, why) = match trial.outcome() {
        Outcome::Right => return None,
        Outcome::Wrong(why) => ("wrong", why),
        Outcome::Skipped(why) => ("skipped", why),
        Outcome::NotApplicable(why) => ("left out", why),
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
    let _infallible = write!(table, "\n{}; {go}.", results.summary());
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
        _ => "it has no scenario yet".to_owned(),
    };
    format!("– [{}]", note(notes, why))
}

fn wrong_in_words(trial: &Trial) -> String {
    let expected = trial.expected().unwrap_or("an answer");
    match trial.given() {
        Some(given) if given != expected => format!("{given} was given, not {expected}"),
        Some(_) if trial.culprit() == Some(false) => format!("{expected} with a wrong culprit"),
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
