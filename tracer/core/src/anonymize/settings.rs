//! The settings of a go command: lists stay lists.

use super::names::Names;
use crate::event::{GoSettings, MainModule};

impl Names {
    pub(super) fn go_settings(&mut self, settings: &mut GoSettings) {
        settings.path = self.path(&settings.path);
        if let Some(resolver) = &mut settings.resolver {
            resolver.why = self.text(&resolver.why);
        }
        for (name, setting) in &mut settings.env {
            setting.value = self.setting(name, &setting.value);
        }
        settings.nameservers.iter_mut().for_each(|server| *server = self.text(server));
        settings.search.iter_mut().for_each(|domain| *domain = self.host(domain));
        if let Some(module) = &mut settings.module {
            self.main_module(module);
        }
    }

    fn main_module(&mut self, module: &mut MainModule) {
        let MainModule { go_mod, go_work, path, .. } = module;
        for file in [go_mod, go_work].into_iter().flatten() {
            *file = self.path(file);
        }
        *path = path.as_deref().map(|p| self.module(p));
    }

    fn setting(&mut self, name: &str, value: &str) -> String {
        match name {
            "GOPROXY" => self.list(value, &[',', '|'], Names::proxy),
            "GOSUMDB" => self.list(value, &[' '], Names::checksum_database),
            "GOPRIVATE" | "GONOPROXY" | "GONOSUMDB" | "GOINSECURE" => {
                self.list(value, &[','], Names::module)
            }
            "GOVCS" => self.list(value, &[',', ':'], Names::vcs),
            "NO_PROXY" | "no_proxy" => self.list(value, &[','], Names::no_proxy),
            // Switches, of which none is a name.
            "GO111MODULE" | "GODEBUG" => value.to_owned(),
            _ if name.to_ascii_uppercase().ends_with("_PROXY") => self.proxy(value),
            _ => self.text(value),
        }
    }

    /// The items of a list, one by one; what stands between them stays.
    fn list(
        &mut self,
        value: &str,
        between: &[char],
        each: fn(&mut Names, &str) -> String,
    ) -> String {
        let mut out = String::new();
        for piece in value.split_inclusive(between) {
            let item = piece.strip_suffix(between).unwrap_or(piece);
            let blank = item.len() - item.trim_start().len();
            out.push_str(item.get(..blank).unwrap_or_default());
            if !item.trim().is_empty() {
                out.push_str(&each(self, item.trim()));
            }
            out.push_str(item.get(item.trim_end().len().max(blank)..).unwrap_or_default());
            out.push_str(piece.get(item.len()..).unwrap_or_default());
        }
        out
    }

    fn proxy(&mut self, entry: &str) -> String {
        match entry {
            "direct" | "off" | "noproxy" => entry.to_owned(),
            _ => self.url(entry),
        }
    }

    /// `NAME`, `NAME+HASH+KEY`, or a URL.
    fn checksum_database(&mut self, word: &str) -> String {
        if word == "off" || word.contains("://") {
            return if word == "off" { word.to_owned() } else { self.url(word) };
        }
        match word.split_once('+') {
            Some((name, key)) => {
                format!("{}+{}", self.authority_and_path(name), self.word("key", key))
            }
            None => self.authority_and_path(word),
        }
    }

    fn vcs(&mut self, word: &str) -> String {
        match word {
            "private" | "public" | "all" | "off" => word.to_owned(),
            _ if word
                .split('|')
                .all(|v| matches!(v, "git" | "hg" | "svn" | "bzr" | "fossil" | "mod")) =>
            {
                word.to_owned()
            }
            _ => self.module(word),
        }
    }

    fn no_proxy(&mut self, entry: &str) -> String {
        // 192.0.2.0/24
        if entry.contains('/') { self.text(entry) } else { self.host_and_port(entry) }
    }
}
