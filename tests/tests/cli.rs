//! gmtrace's own words, and what it says to a command line that it does not take.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::gmtrace;
use serde_json::Value;
use tempfile::TempDir;

/// gmtrace's own failure, and usage errors.
const FAILED: i32 = 125;

/// What gmtrace says where no run was ever kept.
fn say(words: &[&str]) -> Result<Output> {
    say_in(TempDir::new()?.path(), words)
}

fn say_in(home: &Path, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(gmtrace()?);
    command.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home);
    Ok(command.current_dir(home).output()?)
}

/// Standard output of words that succeed and complain of nothing.
fn told(words: &[&str]) -> Result<String> {
    let output = say(words)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && stderr.is_empty(), "{words:?}: {}\n{stderr}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Standard error of words that end with status 125 and print nothing else.
fn refused(words: &[&str]) -> Result<String> {
    let output = say(words)?;
    let stderr = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(FAILED), "{words:?}: {}\n{stderr}", output.status);
    ensure!(output.stdout.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(stderr)
}

fn codes() -> Result<Vec<String>> {
    let list = told(&["explain"])?;
    list.lines()
        .map(|line| {
            let (code, meaning) = line.split_once(' ').with_context(|| line.to_owned())?;
            ensure!(!meaning.trim().is_empty(), "no meaning: {line}");
            Ok(code.to_owned())
        })
        .collect()
}

#[test]
fn every_code_has_a_page_with_its_evidence_and_a_remedy() -> Result<()> {
    let codes = codes()?;
    ensure!(codes.len() > 30, "{codes:?}");
    for code in codes {
        let page = told(&["explain", &code])?;
        assert!(page.starts_with(&format!("{code}: ")), "{page}");
        for section in ["Seen by ", "What to do "] {
            assert!(page.lines().any(|line| line.starts_with(section)), "no {section:?}:\n{page}");
        }
        let widest = page.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?} columns:\n{page}");
    }
    Ok(())
}

#[test]
fn the_whole_catalogue_is_markdown() -> Result<()> {
    let catalogue = told(&["explain", "--markdown"])?;
    for code in codes()? {
        assert!(catalogue.lines().any(|line| line.starts_with(&format!("# {code}: "))), "{code}");
    }
    Ok(())
}

#[test]
fn an_unknown_code_is_refused_with_the_way_to_the_list() -> Result<()> {
    assert_eq!(
        refused(&["explain", "no-such-code"])?,
        "gmtrace: no code 'no-such-code'; gmtrace explain lists them all\n"
    );
    Ok(())
}

#[test]
fn a_report_needs_a_run() -> Result<()> {
    assert_eq!(
        refused(&["report"])?,
        "gmtrace: no run was kept yet: gmtrace keeps those that stalled or failed\n"
    );
    let missing = refused(&["report", "missing.jsonl"])?;
    assert!(missing.starts_with("gmtrace: cannot read missing.jsonl: "), "{missing}");
    Ok(())
}

#[test]
fn a_run_that_failed_is_kept_and_rendered_without_its_name() -> Result<()> {
    let home = TempDir::new()?;
    let run = say_in(home.path(), &["-q", "--", "sh", "-c", "exit 7"])?;
    assert_eq!(run.status.code(), Some(7));
    let report = say_in(home.path(), &["report", "-F", "json"])?;
    let timeline: Value = serde_json::from_slice(&report.stdout)?;
    assert_eq!(timeline["mode"], "replay");
    assert_eq!(timeline["command"]["exit"]["code"], 7);
    let list = say_in(home.path(), &["report", "--list"])?;
    let list = String::from_utf8(list.stdout)?;
    let kept: Vec<_> = list
        .lines()
        .filter_map(|line| Some(line.trim()).filter(|l| l.ends_with(".jsonl")))
        .collect();
    let [kept] = kept.as_slice() else { anyhow::bail!("one run was kept, not:\n{list}") };
    assert!(Path::new(kept).is_file(), "{list}");
    Ok(())
}

#[test]
fn the_schemas_hold_for_what_a_run_writes() -> Result<()> {
    let home = TempDir::new()?;
    let options = ["-q", "-o", "run.json", "-o", "run.jsonl", "--", "true"];
    assert!(say_in(home.path(), &options)?.status.success());
    let schema = |of: &str| -> Result<_> {
        let schema: Value = serde_json::from_str(&told(&["schema", of])?)?;
        assert!(jsonschema::meta::is_valid(&schema), "{of} is no JSON Schema");
        Ok(jsonschema::validator_for(&schema)?)
    };
    let timeline: Value = serde_json::from_slice(&fs::read(home.path().join("run.json"))?)?;
    schema("timeline")?.validate(&timeline).map_err(|error| error.to_owned())?;
    let recording = schema("recording")?;
    let lines = fs::read_to_string(home.path().join("run.jsonl"))?;
    assert!(lines.lines().count() >= 2, "{lines}");
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line)?;
        recording.validate(&line).map_err(|error| error.to_owned())?;
    }
    // An object that is no timeline does not pass, so that the schema says something.
    assert!(!schema("timeline")?.is_valid(&serde_json::json!({"schema": "gmtrace.timeline/1"})));
    Ok(())
}

#[test]
fn shells_get_a_script_that_knows_options_and_words() -> Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let script = told(&["completions", shell])?;
        for known in ["stall-after", "duration", "report", "explain"] {
            assert!(script.contains(known), "{shell} does not know {known}");
        }
    }
    let script = TempDir::new()?;
    let path = script.path().join("gmtrace");
    fs::write(&path, told(&["completions", "bash"])?)?;
    assert!(Command::new("bash").arg("-n").arg(&path).status()?.success());
    assert!(refused(&["completions", "csh"])?.contains("bash, elvish, fish, powershell, zsh"));
    Ok(())
}

#[test]
fn the_manual_page_tells_every_option_and_word() -> Result<()> {
    let page = told(&["man"])?.replace("\\-", "-");
    assert!(page.contains(".TH gmtrace 1"), "{page}");
    let help = told(&["--help"])?;
    let options = help.lines().filter_map(|line| line.trim_start().strip_prefix('-'));
    for option in options.filter_map(|line| line.split(['<', '[', ' ', ',', '.', '=']).next()) {
        assert!(page.contains(&format!("-{option}")), "the page does not tell -{option}");
    }
    for word in ["PS", "REPORT", "EXPLAIN", "SCHEMA", "COMPLETIONS", "MAN"] {
        assert!(page.lines().any(|line| line == format!(".SH GMTRACE {word}")), "{word}");
    }
    Ok(())
}

#[test]
fn help_fits_into_80_columns() -> Result<()> {
    let words: [&[&str]; 5] =
        [&["-h"], &["--help"], &["report", "--help"], &["ps", "--help"], &["schema", "--help"]];
    for words in words {
        let help = told(words)?;
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
        assert!(help.contains("Usage: gmtrace"), "{help}");
    }
    let (short, full) = (told(&["-h"])?, told(&["--help"])?);
    assert!(short.lines().count() < full.lines().count());
    Ok(())
}

#[test]
fn what_is_not_in_this_version_says_so() -> Result<()> {
    let words: [&[&str]; 2] = [&["doctor"], &["doctor", "."]];
    for words in words {
        let word = words.first().context("a word")?;
        let said = refused(words)?;
        assert!(said.starts_with(&format!("gmtrace: 'gmtrace {word}' is not in this version")));
        assert!(said.contains(&format!("gmtrace -- {word}")), "{said}");
    }
    Ok(())
}

#[test]
fn a_usage_error_runs_nothing_and_shows_the_right_form() -> Result<()> {
    let cases: [(&[&str], &str); 6] = [
        (&["--stall-after", "soon", "touch", "ran"], "write 90, 90s, 1m30s, 500ms, 2h or 1d"),
        (&["--signal", "NOPE", "touch", "ran"], "write TERM, SIGTERM or 15"),
        (&["--no-such-option", "touch", "ran"], "Usage: gmtrace"),
        (&["-o", "run.txt", "touch", "ran"], ".json .jsonl .html .pftrace .trace.json or .md"),
        (&["-o", "no/such/place/run.json", "touch", "ran"], "there is no such directory"),
        (&["-k", "1x", "touch", "ran"], "is no duration"),
    ];
    for (words, form) in cases {
        let home = TempDir::new()?;
        let output = say_in(home.path(), words)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(FAILED), "{words:?}: {said}");
        assert!(said.starts_with("gmtrace: ") && said.contains(form), "{words:?}: {said}");
        assert!(!home.path().join("ran").exists(), "{words:?} ran the command");
    }
    Ok(())
}

#[test]
fn without_a_command_the_help_is_shown() -> Result<()> {
    assert_eq!(refused(&[])?, told(&["-h"])?);
    Ok(())
}
