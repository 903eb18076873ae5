//! The words of a go command line, and the flags GOFLAGS adds.

use super::value;
use crate::event::Setting;
use std::collections::BTreeMap;

/// A go command line taken apart as far as its settings need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoCommand {
    /// `mod download`, `build`, ...
    pub name: String,
    /// `-C DIR` (cmd/go/main.go handleChdirFlag: the first flag after the command's name).
    pub chdir: Option<String>,
    /// The words that look like flags before the first argument, without `-C`, each with one leading dash.
    pub flags: Vec<String>,
    /// What follows the flags.
    pub args: Vec<String>,
}

/// Commands of two words (cmd/go/main.go).
const GROUPS: [&str; 3] = ["mod", "work", "telemetry"];

/// Flags of module and build commands whose value may be the next word (cmd/go/internal/work.AddBuildFlags,
/// base.AddModCommonFlags, cmd/go/internal/modcmd, cmd/go/internal/list). Of others only `-flag=value` is understood.
const WITH_VALUE: [&str; 24] = [
    "asmflags",
    "buildmode",
    "compiler",
    "covermode",
    "coverpkg",
    "exec",
    "f",
    "gccgoflags",
    "gcflags",
    "installsuffix",
    "ldflags",
    "mod",
    "modfile",
    "o",
    "overlay",
    "p",
    "pgo",
    "pkgdir",
    "reuse",
    "run",
    "tags",
    "timeout",
    "toolexec",
    "reflect",
];

impl GoCommand {
    /// Takes `go mod download -x` apart; none where there is no command word.
    pub fn parse(argv: &[String]) -> Option<GoCommand> {
        let mut words = argv.iter().skip(1).peekable();
        let mut command = GoCommand::default();
        // `go -C DIR mod download` is the older place of the flag; both are accepted.
        if words.next_if(|word| is_chdir(word)).is_some() {
            command.chdir = words.next().cloned();
        } else if let Some(word) = words.next_if(|word| chdir_value(word).is_some()) {
            command.chdir = chdir_value(word);
        }
        command.name = words.next()?.clone();
        if GROUPS.contains(&command.name.as_str())
            && let Some(second) = words.next_if(|word| !word.starts_with('-'))
        {
            command.name = format!("{} {second}", command.name);
        }
        while let Some(word) = words.next_if(|word| word.len() > 1 && word.starts_with('-')) {
            if word == "--" {
                break;
            }
            let flag = word.strip_prefix('-').filter(|rest| rest.starts_with('-')).unwrap_or(word);
            if is_chdir(word) {
                command.chdir = words.next().cloned();
            } else if let Some(dir) = chdir_value(word) {
                command.chdir = Some(dir);
            } else if !flag.contains('=') && WITH_VALUE.contains(&flag.trim_start_matches('-')) {
                let value = words.next().map(String::as_str).unwrap_or_default();
                command.flags.push(format!("{flag}={value}"));
            } else {
                command.flags.push(flag.to_owned());
            }
        }
        command.args = words.cloned().collect();
        Some(command)
    }

    /// The value of `-name=VALUE`: the last on the command line, else of GOFLAGS.
    pub fn flag(&self, env: &BTreeMap<String, Setting>, name: &str) -> Option<String> {
        let in_goflags =
            split_quoted(value(env, "GOFLAGS").unwrap_or_default()).unwrap_or_default();
        last(&self.flags, name).or_else(|| last(&in_goflags, name))
    }

    /// Whether a boolean flag stands on the command line.
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag.strip_prefix('-') == Some(name))
    }
}

fn is_chdir(word: &str) -> bool {
    matches!(word, "-C" | "--C")
}

fn chdir_value(word: &str) -> Option<String> {
    word.strip_prefix("-C=").or_else(|| word.strip_prefix("--C=")).map(str::to_owned)
}

fn last(flags: &[String], name: &str) -> Option<String> {
    flags.iter().rev().find_map(|flag| {
        let (found, value) = flag.split_once('=')?;
        let bare = found.strip_prefix("--").or_else(|| found.strip_prefix('-'))?;
        (bare == name).then(|| value.to_owned())
    })
}

/// Splits GOFLAGS, GOCACHEPROG and the like at blanks, with `'...'` or `"..."` around whole words and no escapes
/// (cmd/internal/quoted.Split). None where a quote stays open: go refuses it then.
pub fn split_quoted(text: &str) -> Option<Vec<String>> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(blank);
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => rest.get(1..)?.split_once(first)?,
            _ => rest.split_at(rest.find(blank).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start_matches(blank);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> GoCommand {
        GoCommand::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_command_line_is_taken_apart() {
        let command = parse("go mod download -C dir -x --json=true a@v1 -b");
        assert_eq!(command.name, "mod download");
        assert_eq!(command.chdir.as_deref(), Some("dir"));
        assert_eq!(command.flags, ["-x", "-json=true"]);
        assert_eq!(command.args, ["a@v1", "-b"]);
        assert!(command.has("x"));
        let command = parse("go build -mod vendor -o out ./...");
        assert_eq!(command.flag(&BTreeMap::new(), "mod").as_deref(), Some("vendor"));
        assert_eq!(command.args, ["./..."]);
        assert_eq!(parse("go -C d version").chdir.as_deref(), Some("d"));
        assert_eq!(parse("go -C=d mod tidy").chdir.as_deref(), Some("d"));
        assert_eq!(parse("go mod tidy --C=d").chdir.as_deref(), Some("d"));
        assert_eq!(parse("go mod").name, "mod");
        assert_eq!(GoCommand::parse(&["go".to_owned()]), None);
    }

    #[test]
    fn goflags_are_split_as_go_splits_them() {
        let words = |text| split_quoted(text);
        assert_eq!(words("  -x\t-mod=vendor "), Some(vec!["-x".into(), "-mod=vendor".into()]));
        assert_eq!(words("'-ldflags=-s -w' -v"), Some(vec!["-ldflags=-s -w".into(), "-v".into()]));
        assert_eq!(words("-ldflags='-s -w'"), Some(vec!["-ldflags='-s".into(), "-w'".into()]));
        assert_eq!(words("'-x"), None);
        assert_eq!(words(""), Some(vec![]));
        assert_eq!(words("'ü' é"), Some(vec!["ü".into(), "é".into()]));
    }
}
