//! Paths, module paths and URLs: their structure stays.

use super::known;
use super::names::Names;
use crate::settings::unescape_path;
use std::net::{IpAddr, SocketAddr};

impl Names {
    /// A path. Of the module cache it stays one, with the same module that is named elsewhere.
    pub(super) fn path(&mut self, path: &str) -> String {
        if let Some(path) = path.strip_suffix(" (deleted)") {
            return format!("{} (deleted)", self.path(path));
        }
        for inner in ["/cache/download/", "/pkg/sumdb/"] {
            if let Some((before, module)) = path.split_once(inner) {
                return format!("{}{inner}{}", self.directories(before), self.module(module));
            }
        }
        match path.split_once("/pkg/mod/") {
            Some((before, module)) if module != "cache" && !module.starts_with("cache/") => {
                format!("{}/pkg/mod/{}", self.directories(before), self.module(module))
            }
            _ => self.directories(path),
        }
    }

    fn directories(&mut self, path: &str) -> String {
        let mut above = "";
        let mut parts = Vec::new();
        for part in path.split('/') {
            let user = matches!(above, "home" | "Users") && !part.is_empty();
            parts.push(if user { self.user(part) } else { self.part(part) });
            above = part;
        }
        parts.join("/")
    }

    /// A directory, a file or a program.
    pub(super) fn part(&mut self, part: &str) -> String {
        if known::is_place(part) || matches!(part, "." | ".." | "..." | "~") {
            return part.to_owned();
        }
        if let Some(hidden) = part.strip_prefix('.') {
            return format!(".{}", self.part(hidden));
        }
        if let Some((stem, version)) = part.split_once('@').filter(|(s, _)| !s.is_empty()) {
            return format!("{}@{}", self.part(stem), self.query(version));
        }
        if let Some((stem, ending)) = known::ending(part) {
            return format!("{}.{ending}", self.part(stem));
        }
        if let Some((program, hash)) = part.rsplit_once('-').filter(|(_, h)| known::is_hash(h)) {
            return format!("{}-{}", self.part(program), self.word("dir", hash));
        }
        if part.parse::<IpAddr>().is_ok() {
            return self.host(part);
        }
        match known::is_joined(part, |c| "-_:=".contains(c), known::is_place) {
            true => part.to_owned(),
            false => self.word("dir", part),
        }
    }

    /// A module path, a pattern of GOPRIVATE, or the path of a URL: escaped capitals (`!a`) are one name with unescaped ones.
    pub(super) fn module(&mut self, module: &str) -> String {
        let mut above = "";
        let mut elements = Vec::new();
        for (n, element) in module.split('/').enumerate() {
            elements.push(match above {
                "@v" => self.version_file(element),
                _ if n == 0 && element.contains('.') && !known::is_version(element) => {
                    self.host(element)
                }
                _ => self.element(element),
            });
            above = element;
        }
        elements.join("/")
    }

    fn element(&mut self, element: &str) -> String {
        if element == "*" || known::is_place(element) {
            return element.to_owned();
        }
        let plain = element.replace("%21", "!");
        let plain = unescape_path(&plain).filter(|_| plain.contains('!')).unwrap_or(plain);
        if let Some((module, version)) = plain.split_once('@').filter(|(m, _)| !m.is_empty()) {
            return format!("{}@{}", self.element(module), self.query(version));
        }
        match plain.rsplit_once('.') {
            Some((stem, ending))
                if plain.parse::<IpAddr>().is_err()
                    && (matches!(ending, "git" | "go") || known::is_version(ending)) =>
            {
                format!("{}.{ending}", self.element(stem))
            }
            Some((_, top)) if !top.is_empty() && top.chars().all(char::is_alphabetic) => {
                self.host(&plain)
            }
            _ if plain.parse::<IpAddr>().is_ok() => self.host(&plain),
            _ => self.word("mod", &plain),
        }
    }

    /// `v1.2.3.info`, `list.lock`, `BRANCH.info`.
    fn version_file(&mut self, file: &str) -> String {
        match known::ending(file) {
            Some((stem, "tmp")) => format!("{}.tmp", self.version_file(stem)),
            Some((stem, ending)) => format!("{}.{ending}", self.query(stem)),
            None => self.query(file),
        }
    }

    /// A version, or a branch or commit that is asked for.
    pub(super) fn query(&mut self, query: &str) -> String {
        if let Some((version, file)) = query.split_once('/') {
            return format!("{}/{}", self.query(version), self.module(file));
        }
        if known::is_version(query) || known::is_place(query) || query.is_empty() {
            return query.to_owned();
        }
        self.word("branch", query)
    }

    /// A URL, a reference without a host, or `host:port`.
    pub(super) fn url(&mut self, url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else {
            return match url.starts_with('/') {
                true => self.path_and_query(url),
                false => self.authority_and_path(url),
            };
        };
        match scheme {
            "file" => format!("file://{}", self.path(rest)),
            "http" | "https" | "socks5" | "socks5h" | "ssh" | "git" | "git+ssh" => {
                format!("{scheme}://{}", self.authority_and_path(rest))
            }
            _ => format!("{}://{}", self.word("name", scheme), self.authority_and_path(rest)),
        }
    }

    pub(super) fn authority_and_path(&mut self, text: &str) -> String {
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        let (authority, path) = text.split_at_checked(end).unwrap_or((text, ""));
        format!("{}{}", self.authority(authority), self.path_and_query(path))
    }

    fn authority(&mut self, authority: &str) -> String {
        match authority.rsplit_once('@') {
            Some((user, host)) => format!("{}@{}", self.user(user), self.host_and_port(host)),
            None => self.host_and_port(authority),
        }
    }

    pub(super) fn host_and_port(&mut self, text: &str) -> String {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return self.socket(socket).to_string();
        }
        let port = |p: &str| p.bytes().all(|b| b.is_ascii_digit());
        match text.rsplit_once(':').filter(|(host, p)| port(p) && !host.ends_with(':')) {
            Some((host, port)) => format!("{}:{port}", self.host(host)),
            None => self.host(text),
        }
    }

    fn path_and_query(&mut self, text: &str) -> String {
        let Some((path, query)) = text.split_once(['?', '#']) else { return self.module(text) };
        let pairs: Vec<String> = query.split('&').map(|pair| self.pair(pair)).collect();
        format!("{}?{}", self.module(path), pairs.join("&"))
    }

    fn pair(&mut self, pair: &str) -> String {
        let of_go_and_git = pair == "go-get=1" || pair.starts_with("service=git-");
        match pair.split_once('=') {
            _ if of_go_and_git && pair.len() <= 32 => pair.to_owned(),
            Some((name, value)) => {
                format!("{}={}", self.word("name", name), self.word("name", value))
            }
            None if pair.is_empty() => String::new(),
            None => self.word("name", pair),
        }
    }
}
