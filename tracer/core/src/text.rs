//! Text for people: the one place where untrusted bytes are escaped, and how numbers are said.
//!
//! Whatever came from a tracee, a network or a disk passes [`Escaped`] or [`escape_bytes`] on its
//! way to a terminal or a page. Otherwise a file name could move the cursor, colour the verdict or
//! (by bidirectional controls) reverse what it says.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Untrusted text, shown on one line.
///
/// Controls are written `\n`, `\r`, `\t` or `\xNN` (C0, DEL), and what is invisible or turns text
/// around `\u{NNNN}`: C1, bidirectional controls, zero-width and other format characters, line and
/// paragraph separators, the byte order mark. Nothing else changes; a backslash is left alone, so
/// text that was escaped stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

/// As [`Escaped`], but keeps newlines.
#[derive(Debug, Clone, Copy)]
pub struct EscapedLines<'a>(&'a str);

impl<'a> Escaped<'a> {
    /// The same text with its newlines kept, for what is a block of lines.
    #[must_use]
    pub fn lines(text: &'a str) -> EscapedLines<'a> {
        EscapedLines(text)
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0, is_unsafe)
    }
}

impl fmt::Display for EscapedLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0, |c| c != '\n' && is_unsafe(c))
    }
}

fn write_escaped(out: &mut impl fmt::Write, text: &str, escape: fn(char) -> bool) -> fmt::Result {
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|&(_, c)| escape(c)) {
        out.write_str(rest.get(..at).unwrap_or_default())?;
        match c {
            '\n' => out.write_str(r"\n")?,
            '\r' => out.write_str(r"\r")?,
            '\t' => out.write_str(r"\t")?,
            c if c.is_ascii() => write!(out, r"\x{:02x}", u32::from(c))?,
            c => write!(out, r"\u{{{:x}}}", u32::from(c))?,
        }
        rest = rest.get(at + c.len_utf8()..).unwrap_or_default();
    }
    out.write_str(rest)
}

/// Characters that act on a terminal, hide, or change the order of what is read: general category
/// Cc, and of Cf and the default-ignorable ones (Unicode 5.21) those that text can do without.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Untrusted bytes as [`Escaped`] shows them; those that are no UTF-8 as `\xNN`.
#[must_use]
pub fn escape_bytes(bytes: &[u8]) -> String {
    Escaped(&lossy(bytes)).to_string()
}

/// Bytes as text that is still untrusted: what is no UTF-8 becomes `\xNN`, nothing is escaped.
#[must_use]
pub fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            _ = write!(text, r"\x{byte:02x}");
        }
    }
    text
}

/// Columns the text takes on a terminal.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts text to at most `cols` columns, with `…` for what is left out.
///
/// Two thirds of the room go to the end: of a path or a module that is the part that differs.
/// Characters of two columns and combining marks stay whole.
#[must_use]
pub fn cut_middle(text: &str, cols: usize) -> Cow<'_, str> {
    if width(text) <= cols {
        return Cow::Borrowed(text);
    }
    let Some(room) = cols.checked_sub(1) else { return Cow::Borrowed("") };
    let head = fitting(text.graphemes(true), room / 3);
    let tail = fitting(text.graphemes(true).rev(), room - room / 3);
    let head = text.get(..head).unwrap_or_default();
    let tail = text.get(text.len() - tail..).unwrap_or_default();
    Cow::Owned(format!("{head}…{tail}"))
}

/// Bytes of the leading graphemes that fit into `cols`.
fn fitting<'a>(graphemes: impl Iterator<Item = &'a str>, mut cols: usize) -> usize {
    let fits =
        |grapheme: &&str| cols.checked_sub(width(grapheme)).inspect(|left| cols = *left).is_some();
    graphemes.take_while(fits).map(str::len).sum()
}

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How precisely a time is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As a person says it: `8 s`, `34 s`, `6 min`.
    About,
    /// As it was measured: `8.1 s`, `34.2 s`, `6 min 12 s`.
    Exact,
}

/// Nanoseconds in words. Below 0.1 s both styles count milliseconds.
#[must_use]
pub fn duration(ns: u64, style: Style) -> String {
    match (ns, style) {
        (..100_000_000, _) => tenths(ns, 1_000_000, "ms"),
        (..950_000_000, Style::About) => tenths(ns, SECOND, "s"),
        (..59_950_000_000, Style::Exact) => tenths(ns, SECOND, "s"),
        (_, Style::About) => about(round(ns, SECOND)),
        (_, Style::Exact) => exact(round(ns, SECOND)),
    }
}

fn about(seconds: u64) -> String {
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        // One and a half minutes are neither one nor two.
        MINUTE..180 => exact(round(seconds, 10) * 10),
        180..HOUR => exact(round(seconds, MINUTE) * MINUTE),
        HOUR..DAY => exact(round(seconds, 10 * MINUTE) * 10 * MINUTE),
        _ => exact(round(seconds, HOUR) * HOUR),
    }
}

/// The two largest units, without the second where it is zero.
fn exact(seconds: u64) -> String {
    let (unit, name, part, part_name) = match seconds {
        0..MINUTE => return format!("{seconds} s"),
        MINUTE..HOUR => (MINUTE, "min", 1, "s"),
        HOUR..DAY => (HOUR, "h", MINUTE, "min"),
        _ => (DAY, "d", HOUR, "h"),
    };
    match (seconds / unit, seconds % unit / part) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, parts) => format!("{whole} {name} {parts} {part_name}"),
    }
}

/// A number of bytes in SI units (1 kB is 1000 B, as network rates are counted): `512 B`, `1.5 kB`,
/// `48 MB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000, "kB"), (1_000_000, "MB"), (1_000_000_000, "GB"), (1_000_000_000_000, "TB")];
    // The first unit in which the rounded number stays below 1000.
    let unit = UNITS.iter().find(|(unit, _)| round(n, *unit) < 1000);
    match unit.or(UNITS.last()) {
        Some((unit, name)) if n >= 1000 => tenths(n, *unit, name),
        _ => format!("{n} B"),
    }
}

/// `n` in units of `unit`, with one decimal below ten where that is not zero: `8.1 s`, `48 MB`.
/// Seconds keep their decimal up to a minute.
fn tenths(n: u64, unit: u64, name: &str) -> String {
    let tenths = round(n, unit / 10);
    let keep = tenths < 100 || name == "s";
    match (tenths / 10, tenths % 10) {
        (whole, part) if keep && part != 0 => format!("{whole}.{part} {name}"),
        _ => format!("{} {name}", round(n, unit)),
    }
}

/// `n / unit` to the nearest whole number.
fn round(n: u64, unit: u64) -> u64 {
    n / unit + u64::from(n % unit >= unit.div_ceil(2))
}

/// `1 module`, `212 modules`.
#[must_use]
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    let Some((last, first)) = items.split_last() else { return String::new() };
    let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
    match &*first {
        [] => last.as_ref().to_owned(),
        _ => format!("{} and {}", first.join(", "), last.as_ref()),
    }
}

/// A module as people read it: `example.com/lib v1.4.2` from `example.com/lib@v1.4.2`. What has no
/// version stays as it is.
#[must_use]
pub fn module(path_at_version: &str) -> String {
    match path_at_version.rsplit_once('@') {
        Some((path, version)) if !path.is_empty() && !version.is_empty() => {
            format!("{path} {version}")
        }
        _ => path_at_version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_acts_on_a_terminal_is_spelled() {
        for (raw, shown) in [
            ("plain käse 模块 e\u{301}", "plain käse 模块 e\u{301}"),
            ("\x1b[31mred", r"\x1b[31mred"),
            ("a\tb\r\n", r"a\tb\r\n"),
            ("\0\x7f", r"\x00\x7f"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("\u{202e}gpj.exe", r"\u{202e}gpj.exe"),
            ("\u{2066}\u{2069}\u{200e}\u{200f}", r"\u{2066}\u{2069}\u{200e}\u{200f}"),
            ("a\u{200d}b\u{200b}", r"a\u{200d}b\u{200b}"),
            ("\u{2028}\u{2029}\u{feff}", r"\u{2028}\u{2029}\u{feff}"),
            (r"C:\path", r"C:\path"),
        ] {
            assert_eq!(Escaped(raw).to_string(), shown);
        }
    }

    #[test]
    fn lines_keep_their_ends_and_nothing_else() {
        assert_eq!(Escaped::lines("a\nb\r\n\x1b").to_string(), "a\nb\\r\n\\x1b");
    }

    #[test]
    fn bytes_that_are_no_text() {
        assert_eq!(escape_bytes(b"ok\xff\xc3(\n"), r"ok\xff\xc3(\n");
        assert_eq!(lossy(b"\x1b\xff"), "\x1b\\xff");
    }

    #[test]
    fn cutting_keeps_the_end_longer() {
        assert_eq!(cut_middle("short", 5), "short");
        assert_eq!(cut_middle("example.com/some/long/module", 13), "exam…g/module");
        assert_eq!(cut_middle("模块模块模块", 7), "模…模块");
        assert_eq!(cut_middle("ae\u{301}ae\u{301}ae\u{301}", 4), "a…ae\u{301}");
        assert_eq!(cut_middle("abc", 1), "…");
        assert_eq!(cut_middle("abc", 0), "");
    }

    #[test]
    fn times_as_a_person_says_them() {
        const MS: u64 = SECOND / 1000;
        for (ns, about, exact) in [
            (0, "0 ms", "0 ms"),
            (40_000, "0 ms", "0 ms"),
            (1_230_000, "1.2 ms", "1.2 ms"),
            (34 * MS, "34 ms", "34 ms"),
            (212 * MS, "0.2 s", "0.2 s"),
            (999 * MS, "1 s", "1 s"),
            (8_060 * MS, "8 s", "8.1 s"),
            (34_200 * MS, "34 s", "34.2 s"),
            (59_960 * MS, "1 min", "1 min"),
            (88 * SECOND, "1 min 30 s", "1 min 28 s"),
            (179 * SECOND, "3 min", "2 min 59 s"),
            (180 * SECOND, "3 min", "3 min"),
            (372 * SECOND, "6 min", "6 min 12 s"),
            (3_599 * SECOND, "1 h", "59 min 59 s"),
            (7_500 * SECOND, "2 h 10 min", "2 h 5 min"),
            (3 * DAY * SECOND, "3 d", "3 d"),
            ((3 * DAY + 4 * HOUR) * SECOND, "3 d 4 h", "3 d 4 h"),
        ] {
            assert_eq!(duration(ns, Style::About), about, "{ns} ns, about");
            assert_eq!(duration(ns, Style::Exact), exact, "{ns} ns, exact");
        }
    }

    #[test]
    fn amounts() {
        for (n, said) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1 kB"),
            (1_549, "1.5 kB"),
            (9_960, "10 kB"),
            (48_200_000, "48 MB"),
            (999_600, "1 MB"),
            (2_300_000_000, "2.3 GB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(bytes(n), said);
        }
        assert_eq!(count(1, "module", "modules"), "1 module");
        assert_eq!(count(0, "module", "modules"), "0 modules");
    }

    #[test]
    fn lists_and_modules() {
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(module("example.com/lib@v1.4.2"), "example.com/lib v1.4.2");
        assert_eq!(module("example.com/lib"), "example.com/lib");
    }

    /// Text rich in what must be escaped.
    fn nasty() -> impl Strategy<Value = String> {
        let special = prop_oneof![
            any::<char>(),
            (0u32..0xa0).prop_filter_map("scalar", char::from_u32),
            (0x2000u32..0x2070).prop_filter_map("scalar", char::from_u32),
        ];
        prop::collection::vec(special, 0..60).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn nothing_unsafe_survives(text in nasty()) {
            let shown = Escaped(&text).to_string();
            prop_assert!(!shown.chars().any(is_unsafe), "{shown:?}");
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(shown.len() <= 9 * text.len());
            prop_assert_eq!(Escaped(&shown).to_string(), shown);
            let lines = Escaped::lines(&text).to_string();
            prop_assert_eq!(lines.matches('\n').count(), text.matches('\n').count());
        }

        #[test]
        fn nothing_unsafe_survives_in_bytes(bytes: Vec<u8>) {
            let shown = escape_bytes(&bytes);
            prop_assert!(!shown.chars().any(is_unsafe));
            prop_assert!(shown.len() <= 9 * bytes.len());
        }

        #[test]
        fn a_cut_fits(text: String, cols in 0usize..40) {
            let text = Escaped(&text).to_string();
            prop_assert!(width(&cut_middle(&text, cols)) <= cols);
        }

        #[test]
        fn any_number(n: u64) {
            for said in [duration(n, Style::About), duration(n, Style::Exact), bytes(n)] {
                prop_assert!(said.len() <= 20, "{said}");
            }
        }
    }
}
