//! go.mod and go.work, as far as settings need them. Tolerant: what is not understood is skipped, as go itself says what is
//! wrong with a file.

/// What of a go.mod matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoModFile {
    /// The module's path.
    pub module: Option<String>,
    /// The `go` line.
    pub go: Option<String>,
    /// The `toolchain` line.
    pub toolchain: Option<String>,
    /// Required modules, path and version, at most [`MAX_REQUIRES`].
    pub requires: Vec<(String, String)>,
}

/// What of a go.work matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoWorkFile {
    /// The `go` line.
    pub go: Option<String>,
    /// The `toolchain` line.
    pub toolchain: Option<String>,
    /// The directories it uses, as written, at most [`MAX_REQUIRES`].
    pub uses: Vec<String>,
}

/// The most `require` or `use` lines that are kept.
pub const MAX_REQUIRES: usize = 20_000;

/// Reads a go.mod.
pub fn go_mod(text: &str) -> GoModFile {
    let mut file = GoModFile::default();
    each_line(text, |verb, words| match (verb, words) {
        ("module", [path, ..]) => file.module = Some(path.clone()),
        ("go", [version, ..]) => file.go = Some(version.clone()),
        ("toolchain", [name, ..]) => file.toolchain = Some(name.clone()),
        ("require", [path, version, ..]) if file.requires.len() < MAX_REQUIRES => {
            file.requires.push((path.clone(), version.clone()));
        }
        _ => {}
    });
    file
}

/// Reads a go.work.
pub fn go_work(text: &str) -> GoWorkFile {
    let mut file = GoWorkFile::default();
    each_line(text, |verb, words| match (verb, words) {
        ("go", [version, ..]) => file.go = Some(version.clone()),
        ("toolchain", [name, ..]) => file.toolchain = Some(name.clone()),
        ("use", [dir, ..]) if file.uses.len() < MAX_REQUIRES => file.uses.push(dir.clone()),
        _ => {}
    });
    file
}

/// Whether a `vendor/modules.txt` was written by `go work vendor` (modload.modulesTextIsForWorkspace: the first line is
/// `## workspace`). A vendor directory of the other kind is not used.
pub fn modules_txt_is_for_workspace(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let annotations = first.strip_prefix("## ").unwrap_or_default();
    annotations.split(';').any(|annotation| annotation.trim() == "workspace")
}

/// Calls `line` with the verb and the words of each line, inside blocks with the block's verb.
fn each_line(text: &str, mut line: impl FnMut(&str, &[String])) {
    let mut block: Option<String> = None;
    for raw in text.lines() {
        let words = words(raw);
        match (&block, words.as_slice()) {
            (_, []) => {}
            (Some(_), [close, ..]) if close == ")" => block = None,
            (Some(verb), words) => line(verb, words),
            (None, [verb, open]) if open == "(" => block = Some(verb.clone()),
            (None, [verb, rest @ ..]) => line(verb, rest),
        }
    }
}

/// The words of a line: blanks separate, `//` begins a comment, `"..."` and `` `...` `` quote (golang.org/x/mod/modfile,
/// lexer; parentheses are words of their own).
fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") || found.len() == 8 {
            break;
        }
        let (word, after) = match first {
            '"' | '`' => quoted(rest, first),
            '(' | ')' => rest.split_at(1),
            _ => rest.split_at(bare_end(rest)),
        };
        found.push(word.to_owned());
        rest = after.trim_start();
    }
    found
}

fn quoted(text: &str, quote: char) -> (&str, &str) {
    let inside = text.get(1..).unwrap_or_default();
    inside.split_once(quote).unwrap_or((inside, ""))
}

fn bare_end(text: &str) -> usize {
    let blank =
        text.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')')).unwrap_or(text.len());
    // A comment may follow a word without a blank, but `//` inside a word such as a URL does not occur in module paths.
    text.find("//").filter(|at| *at > 0).map_or(blank, |at| at.min(blank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_mod_is_read() {
        let file = go_mod(
            "// Deprecated: no\nmodule \"example.com/m\" // x\r\n\ngo 1.26\ntoolchain go1.26.2\n\
             require example.com/a v1.0.0 // indirect\nrequire (\n\texample.com/b v0.1.0\n\n\t// c\n\
             \texample.com/c v0.0.0-20200101000000-abcdefabcdef//indirect\n)\n\
             replace example.com/a => ../a\nexclude (\n\texample.com/x v1.0.0\n)\nretract v1.0.0\n",
        );
        assert_eq!(file.module.as_deref(), Some("example.com/m"));
        assert_eq!(file.go.as_deref(), Some("1.26"));
        assert_eq!(file.toolchain.as_deref(), Some("go1.26.2"));
        let paths: Vec<_> = file.requires.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["example.com/a", "example.com/b", "example.com/c"]);
        assert_eq!(file.requires.last().unwrap().1, "v0.0.0-20200101000000-abcdefabcdef");
    }

    #[test]
    fn a_go_work_is_read() {
        let file = go_work("go 1.26\nuse .\nuse (\n\t./a\n\t`./b c`\n)\n");
        assert_eq!(file.uses, [".", "./a", "./b c"]);
        assert_eq!(file.go.as_deref(), Some("1.26"));
    }

    #[test]
    fn hostile_files_are_only_read() {
        for text in [
            "(",
            ")",
            "module",
            "module \"",
            "module `",
            "require (",
            "require (\n(\n)\n)",
            "\0\u{ff}",
            "require a",
            "\"\"\"",
            "//",
            "go",
            "go //x",
        ] {
            go_mod(text);
            go_work(text);
        }
        let many = "require a v1\n".repeat(MAX_REQUIRES + 5);
        assert_eq!(go_mod(&many).requires.len(), MAX_REQUIRES);
    }

    #[test]
    fn a_vendor_directory_says_what_it_is_for() {
        assert!(modules_txt_is_for_workspace("## workspace\n# a v1\n"));
        assert!(!modules_txt_is_for_workspace("# a v1\n## workspace\n"));
        assert!(!modules_txt_is_for_workspace(""));
    }
}
