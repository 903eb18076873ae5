//! Runs a command under the tracer and writes its events as a recording: a stand-in for the binary while there is none, with the
//! options that concern capture alone.
//!
//! `launch [-q] [-o FILE] [--no-children] [--exact-reads] [--trap-stdout] [--backend proc] [--user UID:GID] [--fail-after N] [--]
//! COMMAND...`

use gmtrace::capture::clock::Clock;
use gmtrace::capture::ptrace::{CaptureMode, Credentials, Plan};
use gmtrace::launch::{self, WatchSide};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn main() {
    let mut plan =
        Plan { env: std::env::vars_os().collect(), follow_children: true, ..Plan::default() };
    let mut file = None;
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default().to_string_lossy().into_owned();
        match word.to_str() {
            Some("--") => break,
            Some("-q") => {}
            Some("-o") => file = File::create(value()).ok(),
            Some("--no-children") => plan.follow_children = false,
            Some("--exact-reads") => plan.exact_reads = true,
            Some("--trap-stdout") => plan.trap_stdout = true,
            Some("--backend") if value() == "proc" => plan.mode = CaptureMode::No,
            Some("--user") => plan.credentials = user(&value()),
            Some("--fail-after") => plan.fail_after = value().parse().ok(),
            _ => {
                plan.argv.push(word);
                break;
            }
        }
    }
    plan.argv.extend(words);
    match launch::run(plan, None, Clock::start(), move |side| watch(side, file)) {
        Ok(ended) => ended.mirror(),
        Err(error) => {
            eprintln!("gmtrace: {error}");
            std::process::exit(125);
        }
    }
}

fn user(text: &str) -> Option<Credentials> {
    let (uid, gid) = text.split_once(':')?;
    Some(Credentials { uid: uid.parse().ok()?, gid: gid.parse().ok()?, groups: Vec::new() })
}

/// Writes events as they come until the command has ended, and then the number of stops.
fn watch(side: WatchSide, file: Option<File>) {
    if let launch::Capture::Proc(why) = &side.capture {
        eprintln!("gmtrace: not traced: {why}");
    }
    let mut out = BufWriter::new(
        file.map_or_else(|| Box::new(std::io::sink()) as Box<dyn Write>, |file| Box::new(file)),
    );
    _ = writeln!(out, r#"{{"type":"header","schema":"gmtrace.recording/1"}}"#);
    loop {
        let batch = side.events.take();
        for event in &batch.events {
            _ = serde_json::to_writer(&mut out, event);
            _ = out.write_all(b"\n");
        }
        if batch.over {
            break;
        }
        side.events.rest(Duration::from_millis(5));
    }
    _ = writeln!(out, r#"{{"type":"end","stops":{}}}"#, side.stops.load(Ordering::Relaxed));
    _ = out.flush();
    side.front.done();
}
