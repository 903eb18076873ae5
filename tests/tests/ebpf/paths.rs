//! The path of a locked file is put together in the kernel, name by name, for its descriptor may be closed when anybody looks.

use std::fs;

use anyhow::Result;
use gmtrace_tests::harness::{How, Launch};

use super::kernel;

#[test]
fn names_may_be_as_long_as_names_can_be() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let room = tempfile::tempdir()?;
    // NAME_MAX of limits.h.
    let name = |letter: char| letter.to_string().repeat(255);
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
