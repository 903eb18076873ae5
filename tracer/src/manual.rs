//! The manual page: one page for gmtrace and all its words.

use crate::cli::definition;
use anyhow::Result;
use clap::Command;
use clap_mangen::Man;
use std::io::Write;

/// The page, as groff's man(7) macros.
pub fn page() -> Result<Vec<u8>> {
    let mut gmtrace = definition();
    gmtrace.build();
    let man = Man::new(gmtrace.clone()).manual("gmtrace");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for word in gmtrace.get_subcommands().filter(|word| !word.is_hide_set()) {
        page.extend(word_section(word)?);
    }
    let rest = gmtrace.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    page.extend(as_typed("NOTES", &rest).into_bytes());
    Ok(page)
}

/// What `gmtrace WORD` does, and its own options: those of every word are told once, above.
fn word_section(word: &Command) -> Result<Vec<u8>> {
    let mut section = Vec::new();
    let about = word.get_long_about().or_else(|| word.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    writeln!(section, ".SH GMTRACE {}", word.get_name().to_uppercase())?;
    writeln!(section, "{}", escaped(&about))?;
    let everywhere = ["color", "verbose", "help", "version"];
    let own = everywhere
        .into_iter()
        .filter(|id| word.get_arguments().any(|argument| argument.get_id() == id))
        .fold(word.clone(), |word, id| word.mut_arg(id, |argument| argument.hide(true)));
    let mut options = Vec::new();
    Man::new(own).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "");
    section.extend(options.into_bytes());
    Ok(section)
}

/// Text whose lines must stay as they are.
fn as_typed(title: &str, text: &str) -> String {
    format!(".SH {title}\n.nf\n{}\n.fi\n", escaped(text))
}

/// groff(7): a backslash begins an escape, a plain - is a hyphen, and a dot or quote at the start of a line is a request.
fn escaped(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}
