//! The page of a finding code for a terminal: the Markdown of a doc comment, as lines.

use super::layout::{plain, wrap};
use super::palette::{Palette, paint};
use anstyle::Style;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Columns a line of prose has at most, however wide the terminal: longer ones are hard to read.
const WIDEST: usize = 80;

/// The page as lines at most `width` columns wide; code is never wrapped.
pub fn explain_page(markdown: &str, width: usize, color: Palette) -> String {
    let mut page = Page::new(width.clamp(40, WIDEST), color);
    for event in Parser::new_ext(markdown, Options::empty()) {
        page.take(event);
    }
    page.end_block();
    format!("{}\n", page.out.trim_matches('\n'))
}

struct Page {
    out: String,
    width: usize,
    color: Palette,
    /// The text of the block being read.
    text: String,
    /// What the next line of a block begins with: `- ` once, then spaces.
    lead: String,
    /// The lists around, each with the number of its next item where it has numbers.
    lists: Vec<Option<u64>>,
    code_block: bool,
}

impl Page {
    fn new(width: usize, color: Palette) -> Page {
        Page {
            out: String::new(),
            width,
            color,
            text: String::new(),
            lead: String::new(),
            lists: Vec::new(),
            code_block: false,
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code_block => self.code_lines(&text),
            Event::Text(text) => self.text.push_str(&plain(&text)),
            Event::Code(code) => self.text.push_str(&format!("`{}`", plain(&code))),
            Event::SoftBreak => self.text.push(' '),
            Event::HardBreak => self.end_block(),
            Event::Html(html) | Event::InlineHtml(html) => self.text.push_str(&plain(&html)),
            Event::Rule => self.blank_line(),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag) {
        match tag {
            Tag::Heading { .. } | Tag::Paragraph => self.end_block(),
            Tag::CodeBlock(_) => {
                self.end_block();
                self.blank_line();
                self.code_block = true;
            }
            Tag::List(first) => {
                self.end_block();
                self.lists.push(*first);
            }
            Tag::Item => self.start_item(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.end_heading(level),
            TagEnd::Paragraph => {
                self.end_block();
                self.blank_line();
            }
            TagEnd::CodeBlock => {
                self.code_block = false;
                self.blank_line();
            }
            TagEnd::Item => self.end_block(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.lead.clear();
                self.blank_line();
            }
            _ => {}
        }
    }

    fn start_item(&mut self) {
        self.end_block();
        let outer = "  ".repeat(self.lists.len().saturating_sub(1));
        self.lead = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{outer}{}. ", *number - 1)
            }
            _ => format!("{outer}- "),
        };
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let style = if level <= HeadingLevel::H2 { self.color.summary } else { self.color.label };
        self.flush(style);
        self.blank_line();
    }

    fn end_block(&mut self) {
        self.flush(Style::new());
    }

    /// Prints the text read so far, the further lines under the first.
    fn flush(&mut self, style: Style) {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return;
        }
        let indent = self.lead.len();
        for line in wrap(text.trim(), self.width.saturating_sub(indent)) {
            self.out.push_str(&format!("{}{}\n", self.lead, paint(style, &line)));
            self.lead = " ".repeat(indent);
        }
    }

    fn code_lines(&mut self, text: &str) {
        for line in text.lines() {
            let line = paint(self.color.command, &plain(line));
            self.out.push_str(&format!("    {line}\n"));
        }
    }

    fn blank_line(&mut self) {
        if !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}
