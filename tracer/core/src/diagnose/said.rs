//! What the go command says on standard error about something that failed, taken apart.

use super::scene::Scene;
use crate::units::{Nanos, Pid};
use url::Url;

/// How many lines are kept of what follows a line: go's security warnings are nine.
const FOLLOWING: usize = 10;

/// A line on standard error, and what the same process said next.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    /// When it was written.
    pub(super) t: Nanos,
    /// Who wrote it.
    pub(super) pid: Pid,
    /// The line.
    pub(super) text: &'a str,
    /// The lines after it.
    pub(super) after: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// The continuation of the message: go indents it by a tab.
    pub(super) fn indented(&self) -> impl Iterator<Item = &'a str> {
        self.after.iter().take_while(|l| l.starts_with('\t')).map(|l| l.trim())
    }

    /// What the server gave as its reason: `server response: busy`, or indented lines after `server response:`.
    pub(super) fn server_response(&self) -> Option<String> {
        let mut lines = self.indented().skip_while(|l| !l.starts_with("server response:"));
        let first = lines.next()?.trim_start_matches("server response:").trim();
        let words: Vec<&str> =
            std::iter::once(first).chain(lines).filter(|l| !l.is_empty()).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// The lines that contain `what`, oldest first.
pub(super) fn lines<'a>(scene: &Scene<'a>, what: &str) -> Vec<Line<'a>> {
    let all: Vec<(Nanos, Pid, &'a str)> = scene.session.output.all().collect();
    let following = |at: usize, pid: Pid| {
        let rest = all.iter().skip(at + 1).filter(|(_, p, _)| *p == pid);
        rest.map(|(_, _, text)| *text).take(FOLLOWING).collect()
    };
    all.iter()
        .enumerate()
        .filter(|(_, (_, _, text))| text.contains(what))
        .map(|(at, (t, pid, text))| Line { t: *t, pid: *pid, text, after: following(at, *pid) })
        .collect()
}

/// The first URL in a line. Go 1.23 and older print `"http:/HOST/..."` for a broken body (path.Join on a URL), which parses too.
pub(super) fn url_in(text: &str) -> Option<Url> {
    let start = ["https:/", "http:/"].iter().filter_map(|scheme| text.find(scheme)).min()?;
    let rest = text.get(start..)?;
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>'));
    let word = rest.get(..end.unwrap_or(rest.len()))?;
    Url::parse(word.trim_end_matches([':', ',', ';', ')'])).ok()
}

/// The first `path@version` in a line, without the ending `/go.mod`.
pub(super) fn module_in(text: &str) -> Option<String> {
    text.split_whitespace().map(|word| word.trim_matches(['"', ':', ',', '(', ')'])).find_map(
        |word| {
            let word = word.strip_suffix("/go.mod").unwrap_or(word);
            let (path, version) = word.split_once('@')?;
            let is_path =
                path.contains('.') && !path.contains("://") && !path.starts_with("http:/");
            (is_path && !version.is_empty()).then(|| word.to_owned())
        },
    )
}
