//! The recordings in `tests/recordings`, of real runs, still give the answer that their file names say. They were made by
//! `gmtrace report --anonymize -F jsonl`, and give it once more when they are made anonymous again.
//! They end where their commands were still waiting.
//!
//! Those in `zoo` are of the hangs of `tests/tests/zoo`, each with all that gmtrace says of it, word by word.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use gmtrace_core::anonymize::Anonymizer;
use gmtrace_core::event::{Mode, Record};
use gmtrace_core::report::message::{self, Closing, Context, Offers, PREFIX};
use gmtrace_core::report::palette::Palette;
use gmtrace_core::report::{Finding, replay};
use gmtrace_core::watch::{Say, Watch};
use std::fs;
use std::path::{Path, PathBuf};

fn recordings(folder: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recordings").join(folder);
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect()
}

fn records(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn code(records: impl Iterator<Item = Record>) -> String {
    let findings = replay(records.map(Ok)).unwrap().findings();
    findings.first().map_or_else(|| "nothing".to_owned(), |f| f.code.clone())
}

#[test]
fn real_runs_give_their_answer_again() {
    let recordings = recordings("");
    assert!(recordings.len() >= 3, "{recordings:?}");
    for path in recordings {
        let records = records(&path);
        let expected = path.file_stem().unwrap().to_string_lossy();
        assert_eq!(code(records.iter().cloned()), expected);
        let mut anonymizer = Anonymizer::new();
        assert_eq!(code(records.into_iter().map(|r| anonymizer.record(r))), expected);
    }
}

/// All that is said of a recorded run, as on a terminal of 80 columns: while it ran, and of what was found running.
fn said(records: Vec<Record>) -> String {
    let mut records = records.into_iter();
    let Some(Record::Header(header)) = records.next() else { panic!("no header") };
    let attached = header.mode == Mode::Attach;
    let mut watch = Watch::new(*header);
    let mut said = Vec::new();
    for record in records {
        match record {
            Record::Event(event) => said.extend(watch.observe(&event).into_iter().map(in_words)),
            Record::End(end) => watch.finish(end),
            Record::Header(_) => panic!("a second header"),
        }
    }
    let answers = if attached { watch.answers() } else { Vec::new() };
    said.extend(answers.iter().map(|f| message::attached(f, &context(f))));
    let found = |f: &Finding| format!("found: {}, {:?}, {:?}\n", f.code, f.state, f.confidence);
    said.extend(watch.findings().iter().map(found));
    said.join("\n")
}

fn in_words(say: Say) -> String {
    match say {
        Say::Stalled(finding) => message::stall(&finding, &context(&finding)),
        Say::MovingAgain { finding, lasted, came: true } => message::moving_again(&finding, lasted),
        Say::MovingAgain { lasted, .. } => message::moves_again(lasted),
    }
}

fn context(finding: &Finding) -> Context<'static> {
    let closing = Closing::More(message::hint(finding, Offers::default()));
    Context { width: 80, color: Palette::PLAIN, prefix: PREFIX, closing }
}

/// With `GMTRACE_KEEP_MESSAGES` set, what is said now is written down as what is to be said.
#[test]
fn real_hangs_are_told_in_the_same_words() {
    let recordings = recordings("zoo");
    assert!(recordings.len() >= 80, "{}", recordings.len());
    let mut others = Vec::new();
    for path in recordings {
        let (now, file) = (said(records(&path)), path.with_extension("txt"));
        if std::env::var_os("GMTRACE_KEEP_MESSAGES").is_some() {
            fs::write(&file, &now).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != now {
            others.push(format!("{}\n{now}", file.display()));
        }
    }
    assert!(
        others.is_empty(),
        "{} differ from what was said:\n{}",
        others.len(),
        others.join("\n")
    );
}
