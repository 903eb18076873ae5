//! Colours. They only repeat what the words say.

use anstyle::{AnsiColor, Style};

/// The styles of what is printed to a terminal. Chosen to be readable on light and on dark: bold, dim, and of the sixteen
/// colours the two, red and magenta, that stand out from white and from black alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Palette {
    /// The first line.
    pub summary: Style,
    /// Labels and headings of columns.
    pub label: Style,
    /// What can be pasted.
    pub command: Style,
    /// The code of a finding.
    pub code: Style,
    /// What could harm, and what is missing.
    pub warning: Style,
}

impl Palette {
    /// No colours: `--color never`, NO_COLOR, anything that is no terminal.
    pub const PLAIN: Palette = Palette {
        summary: Style::new(),
        label: Style::new(),
        command: Style::new(),
        code: Style::new(),
        warning: Style::new(),
    };

    /// For a terminal.
    pub const COLORS: Palette = Palette {
        summary: Style::new().bold(),
        label: Style::new().dimmed(),
        command: AnsiColor::Magenta.on_default(),
        code: Style::new().dimmed(),
        warning: AnsiColor::Red.on_default(),
    };
}

/// `text` in `style`; as it is where the style is empty.
pub(super) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
