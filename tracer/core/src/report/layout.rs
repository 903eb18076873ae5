//! Lines that fit: labelled facts, wrapped sentences, tables.

use super::palette::{Palette, paint};
use crate::text::{Escaped, Style, cut_middle, duration, width};
use crate::units::Nanos;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// Where a value begins: two of indent, ten of label.
pub(super) const VALUE_COLUMN: usize = 12;
const LABEL_WIDTH: usize = 10;
/// No terminal is taken to be narrower than this.
const NARROWEST: usize = 40;
/// A name cut shorter than this is no longer a name; the line is wrapped instead.
const SHORTEST_NAME: usize = 24;

/// Untrusted text on its way to a line.
pub(super) fn plain(text: &str) -> String {
    Escaped(text).to_string()
}

/// Untrusted words as one, separated by spaces.
pub(super) fn words(argv: &[String]) -> String {
    plain(&argv.join(" "))
}

/// Where lines go: how wide, in which colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Columns.
    pub(super) width: usize,
    /// Colours.
    pub(super) color: Palette,
}

impl Look {
    /// The columns of a line.
    pub(super) fn columns(self) -> usize {
        self.width.max(NARROWEST)
    }

    /// The columns left for a value behind its label.
    pub(super) fn value_columns(self) -> usize {
        self.columns() - VALUE_COLUMN
    }
}

/// The name that a value of a closed set has in JSON: `module-proxy`, `certain`.
pub(super) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// `34 s`, `6 min`.
pub(super) fn about(time: Nanos) -> String {
    duration(time.0, Style::About)
}

/// `34.2 s`, `6 min 12 s`.
pub(super) fn exact(time: Nanos) -> String {
    duration(time.0, Style::Exact)
}

/// Escaped text as lines of at most `cols` columns: the longest name is cut in the middle if that suffices; else the words
/// are wrapped.
pub(super) fn fit(text: &str, cols: usize) -> Vec<String> {
    if width(text) <= cols {
        return vec![text.to_owned()];
    }
    shorten_longest(text, cols).map_or_else(|| wrap(text, cols), |line| vec![line])
}

fn shorten_longest(text: &str, cols: usize) -> Option<String> {
    let longest = text.split(' ').max_by_key(|word| width(word))?;
    let excess = width(text) - cols;
    let room = width(longest).checked_sub(excess).filter(|room| *room >= SHORTEST_NAME)?;
    Some(text.replacen(longest, &cut_middle(longest, room), 1))
}

/// Words in lines of at most `cols` columns; a word longer than a line is cut in the middle.
pub(super) fn wrap(text: &str, cols: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let word = cut_middle(word, cols);
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(&word) <= cols => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word.into_owned()),
        }
    }
    lines
}

/// Appends `  label     first row`, and the further rows aligned under the first. Rows are ready: escaped, fitted, painted.
pub(super) fn labelled(out: &mut String, look: Look, label: &str, rows: &[String]) {
    let label = plain(label);
    let label = cut_middle(&label, LABEL_WIDTH - 1);
    let padding = " ".repeat(LABEL_WIDTH - width(&label));
    let mut lead = format!("  {}{padding}", paint(look.color.label, &label));
    for row in rows {
        out.push_str(&lead);
        out.push_str(row);
        out.push('\n');
        lead = " ".repeat(VALUE_COLUMN);
    }
}

/// A table column.
pub(super) struct Column {
    /// Its heading.
    pub(super) title: &'static str,
    /// Whether numbers stand in it.
    pub(super) right: bool,
}

/// A column of words.
pub(super) const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// A column of numbers.
pub(super) const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// A table indented by two: where it is too wide, the cells of its widest columns are cut in the middle. Cells are escaped.
pub(super) fn table(out: &mut String, look: Look, head: &[Column], rows: &[Vec<String>]) {
    indented_table(out, look, head, rows, "  ");
}

/// A table that is the whole answer begins at the first column.
pub(super) fn indented_table(
    out: &mut String,
    look: Look,
    head: &[Column],
    rows: &[Vec<String>],
    indent: &str,
) {
    let widths = column_widths(look.columns() - indent.len(), head, rows);
    let titles = head.iter().map(|column| Cow::Borrowed(column.title));
    let line = table_line(head, &widths, titles);
    out.push_str(&format!("{indent}{}\n", paint(look.color.label, &line)));
    for row in rows {
        let cells = row.iter().map(|cell| Cow::Borrowed(cell.as_str()));
        out.push_str(&format!("{indent}{}\n", table_line(head, &widths, cells)));
    }
}

fn column_widths(room: usize, head: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths: Vec<usize> = head.iter().map(|column| width(column.title)).collect();
    for row in rows {
        for (wide, cell) in widths.iter_mut().zip(row) {
            *wide = (*wide).max(width(cell));
        }
    }
    let gaps = 2 * widths.len().saturating_sub(1);
    let room = room.saturating_sub(gaps);
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > 1 => *widest -= 1,
            _ => break,
        }
    }
    widths
}

fn table_line<'a>(
    head: &[Column],
    widths: &[usize],
    cells: impl Iterator<Item = Cow<'a, str>>,
) -> String {
    let mut line = String::new();
    for ((column, wide), cell) in head.iter().zip(widths).zip(cells) {
        let cell = cut_middle(&cell, *wide);
        let padding = " ".repeat(wide.saturating_sub(width(&cell)));
        if !line.is_empty() {
            line.push_str("  ");
        }
        match column.right {
            true => line.extend([&*padding, &*cell]),
            false => line.extend([&*cell, &*padding]),
        }
    }
    line.truncate(line.trim_end().len());
    line
}
