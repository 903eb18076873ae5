//! What goroutines do: names of functions, and what was found in their arguments.

use super::names::Names;
use crate::event::{GoArgument, GoCall, GoRuntime, GoValue, Goroutine};

/// Where the standard library, the go command and `main` begin. Other packages are somebody's own.
const EVERYBODYS: &[&str] = &[
    "archive",
    "bufio",
    "bytes",
    "cmd",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "encoding",
    "errors",
    "fmt",
    "go",
    "hash",
    "html",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "sync",
    "syscall",
    "text",
    "time",
    "type",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
];

impl Names {
    /// `go` says whether the process is the go command, whose own functions are everybody's.
    pub(super) fn goroutines(&mut self, runtime: &mut GoRuntime, go: bool) {
        let GoRuntime { version: _, goroutines, total: _, threads: _, unreadable, partial } =
            runtime;
        for goroutine in goroutines {
            self.goroutine(goroutine, go);
        }
        for sentence in unreadable.iter_mut().chain(partial) {
            *sentence = self.text(sentence);
        }
    }

    pub(super) fn goroutine(&mut self, goroutine: &mut Goroutine, go: bool) {
        for function in goroutine.functions.iter_mut().chain(&mut goroutine.created_by) {
            *function = self.function(function, go);
        }
        for GoCall { function, arguments } in &mut goroutine.calls {
            *function = self.function(function, go);
            arguments.iter_mut().for_each(|argument| self.argument(argument));
        }
    }

    fn function(&mut self, function: &str, go: bool) -> String {
        let end = function.find(['/', '.', ':']).unwrap_or(function.len());
        let first = function.get(..end).unwrap_or_default();
        // The first element of a module's path has a dot, and a path of the standard library none: `net/http`, `net.corp/x`.
        let package = function.split('/').next().unwrap_or_default();
        let alone = !function.contains('/') || package == first;
        match alone && (EVERYBODYS.contains(&first) || (go && first == "main")) {
            true => function.to_owned(),
            false => self.word("function", function),
        }
    }

    fn argument(&mut self, GoArgument { name, value }: &mut GoArgument) {
        match value {
            GoValue::Text(text) => *text = self.argument_text(name, text),
            GoValue::Words(words) => self.argv(words),
            GoValue::Number(_) | GoValue::Object(_) => {}
        }
    }

    fn argument_text(&mut self, name: &str, text: &str) -> String {
        match name {
            "module" => self.module(text),
            "version" => self.query(text),
            "url" | "proxy" | "repository" => self.url(text),
            "path" => self.module(text),
            "file" | "program" | "directory" => self.path(text),
            "host" => self.host(text),
            "server" | "address" => self.host_and_port(text),
            // `tcp`, `https`, `GET`, `AAAA`, `go1.26.8`.
            _ => self.text(text),
        }
    }
}
