//! What a process gives to the kernel, and to libc, may lie in pages that are not in memory yet: a program in the kernel cannot fetch
//! them.

use anyhow::{Context, Result, ensure};
use gmtrace_tests::harness::Launch;
use serde_json::{Value, json};

use super::kernel;

#[test]
fn it_is_read_when_the_call_is_over() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let launch = Launch::fixture("unread_memory")?.option("--backend=ebpf");
    let recording = launch.runs_alike()?.recording()?;
    let one = |kind: &'static str| -> Result<&Value> {
        let all: Vec<&Value> = recording.of(kind).collect();
        ensure!(all.len() == 1, "{kind}: {all:?}");
        all.first().copied().context("none")
    };
    // That it was called is seen, and no more than that.
    assert_eq!(one("getaddrinfo-start")?["name"], json!(""));
    assert_eq!(one("getaddrinfo-end")?["name"], json!("127.0.0.77"));
    assert_eq!(one("http-request")?["url"], json!("http://proxy.example.com/never-looked-at"));
    Ok(())
}
