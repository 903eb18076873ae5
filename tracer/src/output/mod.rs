//! Where what was found goes: the terminal, files, kept runs.

pub mod files;
pub mod kept;
pub mod recording;
pub mod screen;

use crate::cli::Format;
use gmtrace_core::report::{Report, chrome, html, json, markdown, perfetto, text};
use screen::Style;

/// A report in one of its forms. A recording is no report: it is copied, not rendered.
pub fn render(report: &Report, format: Format, style: &Style) -> Vec<u8> {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _always_ok = match format {
        Format::Text => {
            out = text::report(report, style.width, style.palette);
            Ok(())
        }
        Format::Json | Format::Jsonl => json::write(report, json::Layout::Pretty, &mut out),
        Format::Html => html::write(report, &mut out),
        Format::Chrome => chrome::write(report, &mut out),
        Format::Markdown => markdown::write(report, &mut out),
        Format::Perfetto => return perfetto::encode(report),
    };
    out.into_bytes()
}
