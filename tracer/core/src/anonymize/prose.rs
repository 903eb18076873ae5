//! What programs say, and the words of a command: names inside are found by their form, and every word that not everybody
//! may say is replaced.

use super::known;
use super::names::Names;
use std::net::{IpAddr, SocketAddr};

impl Names {
    /// Lines that a program wrote.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(is_between) {
            let word = piece.strip_suffix(is_between).unwrap_or(piece);
            out.push_str(&self.token(word));
            out.push_str(piece.get(word.len()..).unwrap_or_default());
        }
        out
    }

    /// The words of a command.
    pub(super) fn argv(&mut self, argv: &mut [String]) {
        for (n, word) in argv.iter_mut().enumerate() {
            let program = n == 0 && !word.contains([' ', '/']);
            *word = if program { self.part(word) } else { self.text(word) };
        }
    }

    fn token(&mut self, token: &str) -> String {
        if let Some(address) = self.literal_address(token) {
            return address;
        }
        if let Some((before, word, after)) = without_punctuation(token) {
            let word = if word.is_empty() { String::new() } else { self.token(word) };
            return format!("{before}{word}{after}");
        }
        match (token.split_once('='), token.split_once("://")) {
            (Some((name, value)), Some((scheme, _))) if name.len() < scheme.len() => {
                return format!("{}={}", self.token(name), self.token(value));
            }
            (_, Some(_)) => return self.url(token),
            (Some((name, value)), None) => {
                return format!("{}={}", self.token(name), self.token(value));
            }
            (None, None) => {}
        }
        if ["/", "./", "../", "~/"].iter().any(|start| token.starts_with(start)) {
            return self.path_and_place(token);
        }
        match token.split_once('@') {
            Some((before, after)) if !before.is_empty() => self.at(before, after),
            _ if token.contains(':') => self.by_colons(token),
            _ if token.contains('/') => self.slashed(token),
            _ => self.plain(token),
        }
    }

    fn literal_address(&mut self, token: &str) -> Option<String> {
        if let Ok(socket) = token.parse::<SocketAddr>() {
            return Some(self.socket(socket).to_string());
        }
        if let Some((ip, scope)) = token.split_once('%') {
            let ip = self.ip(ip.parse::<IpAddr>().ok()?);
            return Some(format!("{ip}%{}", self.plain(scope)));
        }
        // 192.0.2.0/24
        if let Some((ip, bits)) = token.split_once('/') {
            let ip = self.ip(ip.parse::<IpAddr>().ok()?);
            return bits.parse::<u8>().is_ok().then(|| format!("{ip}/{bits}"));
        }
        token.parse::<IpAddr>().ok().map(|ip| self.ip(ip).to_string())
    }

    /// `/home/me/go.mod:5:2`, or a list of paths.
    fn path_and_place(&mut self, token: &str) -> String {
        match token.split_once(':') {
            Some((path, rest)) => format!("{}:{}", self.path(path), self.token(rest)),
            None => self.path(token),
        }
    }

    /// `module@version`, `user@host`, `user@host:path`.
    fn at(&mut self, before: &str, after: &str) -> String {
        if known::is_version(after) || before.contains(['/', '.']) {
            return format!("{}@{}", self.module(before), self.query(after));
        }
        format!("{}@{}", self.user(before), self.token(after))
    }

    fn by_colons(&mut self, token: &str) -> String {
        let parts: Vec<String> = token.split(':').map(|part| self.token(part)).collect();
        parts.join(":")
    }

    /// `i/o` and `linux/amd64` are words; the rest is a module, or a path.
    fn slashed(&mut self, token: &str) -> String {
        if token.split('/').all(|part| part.split(['-', '.']).all(known::is_word)) {
            return token.to_owned();
        }
        self.module(token)
    }

    pub(super) fn plain(&mut self, token: &str) -> String {
        if token.is_empty() || known::is_word(token) {
            return token.to_owned();
        }
        if known::is_joined(token, |c| "-_+*%\u{2026}&^$#~".contains(c), known::is_word) {
            return token.to_owned();
        }
        // Client.Timeout
        let of_go =
            |part: &str| part.starts_with(|c: char| c.is_ascii_uppercase()) && known::is_word(part);
        if token.split('.').all(of_go) {
            return token.to_owned();
        }
        if token.starts_with('.') {
            return self.part(token);
        }
        if !token.contains('.') {
            return self.word("name", token);
        }
        match known::ending(token) {
            Some(_) => self.part(token),
            None => self.host(token),
        }
    }
}

/// What stands between words. Brackets belong to addresses, `\` to nothing.
fn is_between(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\"'`<>(){},;|\\".contains(c)
}

/// Punctuation around a word: what is before it, the word, and what is after it; none where there is none.
fn without_punctuation(token: &str) -> Option<(&str, &str, &str)> {
    let word = token.trim_end_matches([':', '.', '!', '?', ']', '-']);
    let after = token.get(word.len()..)?;
    let bare = word.trim_start_matches(['[', '-', '+', '?', '!', '=', '@', ':']);
    let before = word.get(..word.len() - bare.len())?;
    (!before.is_empty() || !after.is_empty()).then_some((before, bare, after))
}
