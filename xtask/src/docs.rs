//! The parts of README.md that are generated from the program itself.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::workspace::{Workspace, output_of, progress};

#[derive(Args)]
pub(crate) struct Options {
    /// Change nothing, and fail when something is out of date
    #[arg(long)]
    check: bool,
}

/// Writes the generated parts, or with `--check` compares them.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.check {
        return check(workspace);
    }
    let generated = generate(workspace)?;
    fs::write(readme(workspace), generated).context("README.md")?;
    progress("README.md is current");
    Ok(())
}

/// Fails when README.md is not what this source generates.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let current = fs::read_to_string(readme(workspace)).context("README.md")?;
    let generated = generate(workspace)?;
    ensure!(current == generated, "README.md is out of date; run `cargo xtask docs`");
    Ok(())
}

/// Puts `text` into the block of README.md that is called `name`.
pub(crate) fn write_block(workspace: &Workspace, name: &str, text: &str) -> Result<()> {
    let path = readme(workspace);
    let document = fs::read_to_string(&path).context("README.md")?;
    fs::write(&path, replace_block(&document, name, text)?).context("README.md")
}

fn readme(workspace: &Workspace) -> PathBuf {
    workspace.root.join("README.md")
}

fn generate(workspace: &Workspace) -> Result<String> {
    let gmtrace = workspace.build_gmtrace()?;
    let usage = format!("```text\n{}\n```", told_by(&gmtrace, &["--help"])?);
    let findings = table_of_codes(&told_by(&gmtrace, &["explain"])?)?;
    let document = fs::read_to_string(readme(workspace)).context("README.md")?;
    let document = replace_block(&document, "usage", &usage)?;
    replace_block(&document, "findings", &findings)
}

/// What gmtrace prints, the same on every machine: clap wraps at the terminal's width and shows
/// the values of GMTRACE_* variables, so there is neither here.
fn told_by(gmtrace: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(gmtrace);
    command.args(arguments).env("COLUMNS", "80").env("NO_COLOR", "1").stderr(Stdio::piped());
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("GMTRACE_") {
            command.env_remove(name);
        }
    }
    let told = output_of(&mut command)?;
    let lines: Vec<_> = told.trim().lines().map(str::trim_end).collect();
    ensure!(!lines.is_empty(), "`gmtrace {}` printed nothing", arguments.join(" "));
    Ok(lines.join("\n"))
}

/// The list of `gmtrace explain`, a code and its meaning a line, as a Markdown table.
fn table_of_codes(list: &str) -> Result<String> {
    let mut table = "| code | what it means |\n| --- | --- |\n".to_owned();
    for line in list.lines() {
        let (code, meaning) = line.split_once(' ').with_context(|| format!("no code: {line}"))?;
        writeln!(table, "| `{code}` | {} |", meaning.trim())?;
    }
    Ok(table)
}

/// Replaces what stands between `<!-- NAME: begin ... -->` and `<!-- NAME: end -->`.
fn replace_block(document: &str, name: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- {name}: begin");
    let end = format!("<!-- {name}: end -->");
    let missing = || format!("README.md has no block {name:?}: {begin} --> ... {end}");
    let (before, rest) = document.split_once(&begin).with_context(missing)?;
    let (note, rest) = rest.split_once("-->").with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    ensure!(!after.contains(&begin), "README.md has two blocks {name:?}");
    Ok(format!("{before}{begin}{note}-->\n{}\n{end}{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Title\n<!-- usage: begin (made by x) -->\nold\n<!-- usage: end -->\n\
                            text\n<!-- bench: begin -->\n<!-- bench: end -->\n";

    #[test]
    fn each_code_has_a_row() {
        let table = table_of_codes("dns-silent    asked, no answer\nunknown  no rule").unwrap();
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(rows, ["| `dns-silent` | asked, no answer |", "| `unknown` | no rule |"]);
        assert!(table_of_codes("unknown").is_err());
    }

    #[test]
    fn replaces_one_block_and_leaves_the_rest() {
        assert_eq!(
            replace_block(DOCUMENT, "usage", "new\nlines\n").unwrap(),
            "# Title\n<!-- usage: begin (made by x) -->\nnew\nlines\n<!-- usage: end -->\n\
             text\n<!-- bench: begin -->\n<!-- bench: end -->\n"
        );
    }

    #[test]
    fn writing_the_same_again_changes_nothing() {
        let once = replace_block(DOCUMENT, "bench", "| a |").unwrap();
        assert_eq!(replace_block(&once, "bench", "| a |").unwrap(), once);
    }

    #[test]
    fn a_missing_or_doubled_block_is_an_error() {
        let missing = replace_block(DOCUMENT, "findings", "x").unwrap_err();
        assert!(missing.to_string().contains("\"findings\""), "{missing}");
        let unclosed = DOCUMENT.replace("<!-- usage: end -->", "");
        assert!(replace_block(&unclosed, "usage", "x").is_err());
        assert!(replace_block(&DOCUMENT.repeat(2), "usage", "x").is_err());
    }
}
