//! The recordings in `tests/recordings`, of real runs, still give the answer that their file names say. They were made by
//! `gmtrace report --anonymize -F jsonl`, and give it once more when they are made anonymous again.
//! They end where their commands were still waiting.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use gmtrace_core::anonymize::Anonymizer;
use gmtrace_core::event::Record;
use gmtrace_core::report::replay;
use std::path::{Path, PathBuf};

fn recordings() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recordings");
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect()
}

fn code(records: impl Iterator<Item = Record>) -> String {
    let findings = replay(records.map(Ok)).unwrap().findings();
    findings.first().map_or_else(|| "nothing".to_owned(), |f| f.code.clone())
}

#[test]
fn real_runs_give_their_answer_again() {
    let recordings = recordings();
    assert!(recordings.len() >= 3, "{recordings:?}");
    for path in recordings {
        let text = std::fs::read_to_string(&path).unwrap();
        let records: Vec<Record> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let expected = path.file_stem().unwrap().to_string_lossy();
        assert_eq!(code(records.iter().cloned()), expected);
        let mut anonymizer = Anonymizer::new();
        assert_eq!(code(records.into_iter().map(|r| anonymizer.record(r))), expected);
    }
}
