//! gmtrace's own words: report, explain, schema, completions, man.

use crate::cli::{Format, LookOptions, ReportOptions, SchemaOf, definition};
use crate::manual;
use crate::output::{files::Target, kept, recording, screen};
use anyhow::{Context, Result, anyhow, bail};
use gmtrace_core::diagnose::{RULES, rule};
use gmtrace_core::report::{Frame, explain::explain_page};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::process::ExitCode;

/// `gmtrace report`.
pub fn report(options: &ReportOptions, look: &LookOptions) -> Result<ExitCode> {
    if options.list {
        return print(&kept::list()?);
    }
    let input: Box<dyn Read> = match &options.recording {
        Some(path) if path.as_os_str() == "-" => Box::new(std::io::stdin().lock()),
        Some(path) => Box::new(open(path)?),
        None => {
            let last = kept::last()?.ok_or_else(|| {
                anyhow!("no run was kept yet: gmtrace keeps those that stalled or failed")
            })?;
            Box::new(open(&last)?)
        }
    };
    let mut targets =
        options.output.iter().map(|o| Target::parse(o)).collect::<Result<Vec<_>>>()?;
    // `-` is where -F goes too: it is written once.
    let asked = targets.len();
    targets.retain(|target| target.path.as_os_str() != "-");
    let to_stdout = targets.len() < asked;
    let records = recording::Reader::new(BufReader::new(input));
    let mut records = recording::anonymized(records, options.anonymize);
    if options.format == Some(Format::Jsonl) {
        return recording::copy(&mut records, &mut std::io::stdout().lock());
    }
    let watch = recording::fold(&mut records)?;
    let now = watch.session.now;
    let frame = Frame { observed_at: observed_at(&watch.session), now, stops: 0 };
    let mut report = gmtrace_core::report::report(&watch, &frame);
    report.mode = gmtrace_core::event::Mode::Replay;
    if !watch.session.is_over() && report.findings.is_empty() {
        report.verdict.summary =
            "The recording breaks off; up to there nothing stalled.".to_owned();
    }
    for target in &targets {
        target.write(&report).with_context(|| format!("cannot write {target}"))?;
    }
    if targets.is_empty() || to_stdout || options.format.is_some() {
        let style = screen::for_stdout(look);
        let bytes = crate::output::render(&report, options.format.unwrap_or(Format::Text), &style);
        return write_out(&bytes);
    }
    Ok(ExitCode::SUCCESS)
}

/// The wall clock at the newest event of a recording.
fn observed_at(session: &gmtrace_core::session::Session) -> String {
    let started = session.header.started_at.parse::<jiff::Timestamp>();
    let now = std::time::Duration::from_nanos(session.now.0);
    let observed = started.ok().and_then(|started| started.checked_add(now).ok());
    observed.map_or_else(|| session.header.started_at.clone(), |t| t.to_string())
}

fn open(path: &std::path::Path) -> Result<File> {
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    if file.metadata().with_context(cannot)?.is_dir() {
        bail!("{} is a directory; name a recording in it (.jsonl)", path.display());
    }
    Ok(file)
}

/// `gmtrace explain`.
pub fn explain(code: Option<&str>, markdown: bool, look: &LookOptions) -> Result<ExitCode> {
    if markdown {
        let pages: Vec<String> = RULES.iter().map(|r| r.page()).collect();
        return print(&pages.join("\n\n"));
    }
    let Some(code) = code else {
        let lines = RULES.iter().map(|r| {
            let headline = r.headline();
            let meaning = headline.split_once(": ").map_or("", |(_, m)| m).to_owned();
            format!("{:<24} {meaning}\n", r.code)
        });
        return print(&lines.collect::<String>());
    };
    let Some(rule) = rule(code) else {
        bail!("no code '{code}'; gmtrace explain lists them all");
    };
    let style = screen::for_stdout(look);
    print(&explain_page(&rule.page(), style.width, style.palette))
}

/// `gmtrace schema`.
pub fn schema(of: SchemaOf) -> Result<ExitCode> {
    let schema = match of {
        SchemaOf::Recording => gmtrace_core::report::schema::recording(),
        SchemaOf::Timeline => gmtrace_core::report::schema::timeline(),
        SchemaOf::Ps => gmtrace_core::report::schema::ps(),
    };
    print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))
}

/// `gmtrace completions`.
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "gmtrace", &mut script);
    write_out(&script)
}

/// `gmtrace man`.
pub fn man() -> Result<ExitCode> {
    write_out(&manual::page()?)
}

/// A word that this version does not have yet.
pub fn reserved(word: &str) -> Result<ExitCode> {
    bail!(
        "'gmtrace {word}' is not in this version; to run a program of that name: gmtrace -- {word}"
    )
}

fn print(text: &str) -> Result<ExitCode> {
    write_out(text.as_bytes())
}

/// A reader that has gone (`gmtrace report | head`) is no failure.
fn write_out(bytes: &[u8]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
