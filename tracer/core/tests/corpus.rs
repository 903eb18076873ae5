//! Replays the fuzz corpus, so that a crash found once is tested by everyone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails panics")]

use std::path::Path;

#[allow(dead_code, reason = "the checks of recordings are used by another test")]
#[path = "../../../tests/fuzz/fuzz_targets/checks.rs"]
mod checks;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let files: Vec<_> = corpus.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} is empty", corpus.display());
    for file in files {
        println!("{}", file.display());
        check(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn decoders_survive_the_corpus() {
    replay("decode", checks::decode);
}

#[test]
fn text_survives_the_corpus() {
    replay("text", checks::text);
}

#[test]
fn the_reader_of_goroutines_survives_the_corpus() {
    replay("golang", checks::golang);
}
