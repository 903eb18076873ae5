//! The path of a locked file is put together in the kernel, name by name, for its descriptor may be closed when anybody looks.

use std::fs;

use anyhow::Result;
use gmtrace_tests::harness::{How, Launch};

use super::kernel;

/// NAME_MAX of limits.h.
fn name(letter: char) -> String {
    letter.to_string().repeat(255)
}

#[test]
fn names_may_be_as_long_as_names_can_be() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let room = tempfile::tempdir()?;
    for names in [vec!['a'], vec!['b', 'c', 'd'], vec!['e', 'f', 'g', 'h', 'i', 'j', 'k']] {
        let file =
            names.iter().fold(room.path().to_owned(), |path, letter| path.join(name(*letter)));
        fs::create_dir_all(file.parent().unwrap_or(room.path()))?;
        let words = ["flock".as_ref(), file.as_os_str(), "true".as_ref()];
        let launch = Launch::command(words)?.option("--backend=ebpf");
        let traced = launch.run(How::Traced)?;
        assert_eq!(traced.status.code(), Some(0), "{traced:?}");
        let recording = traced.recording()?;
        let locked: Vec<_> = recording.of("lock-end").map(|e| e["path"].to_string()).collect();
        assert_eq!(locked, [format!("\"{}\"", file.display())]);
    }
    Ok(())
}

/// The kernel puts 2 KiB together; beyond that the descriptor says it, while it is open.
#[test]
fn of_a_path_that_is_longer_the_descriptor_tells() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let room = tempfile::tempdir()?;
    let file = ('a'..='k').fold(room.path().to_owned(), |path, letter| path.join(name(letter)));
    fs::create_dir_all(file.parent().unwrap_or(room.path()))?;
    let words = ["flock".as_ref(), file.as_os_str(), "sleep".as_ref(), "1".as_ref()];
    let traced = Launch::command(words)?.option("--backend=ebpf").run(How::Traced)?;
    let recording = traced.recording()?;
    let locked: Vec<_> = recording.of("lock-end").map(|e| e["path"].to_string()).collect();
    assert_eq!(locked, [format!("\"{}\"", file.display())]);
    Ok(())
}
