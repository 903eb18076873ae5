//! Looks through the source files of a room.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Border;
use super::names::{Names, names_in};

/// Every place under the border's room that names something forbidden: `FILE:LINE: NAME (WHY)`.
pub(super) fn crossings(root: &Path, border: &Border) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (file, names) in read_room(&root.join(border.room))? {
        let shown = file.strip_prefix(root).unwrap_or(&file).display();
        let forbidden = names.used.iter().filter(|name| border.forbids(&name.path));
        found.extend(forbidden.map(|name| {
            format!("{shown}:{}: {} ({})", name.line, name.path.join("::"), border.why)
        }));
    }
    Ok(found)
}

impl Border {
    fn forbids(&self, path: &[String]) -> bool {
        self.forbidden.iter().any(|forbidden| {
            let forbidden: Vec<_> = forbidden.split("::").collect();
            forbidden.len() <= path.len() && forbidden.iter().zip(path).all(|(a, b)| a == b)
        })
    }
}

/// Parses every Rust file of a room but those that are modules for tests only.
fn read_room(room: &Path) -> Result<Vec<(PathBuf, Names)>> {
    let mut parsed = Vec::new();
    for file in rust_files(room)? {
        let text = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        let names = names_in(&text).with_context(|| format!("{}", file.display()))?;
        parsed.push((file, names));
    }
    let tests: BTreeSet<_> =
        parsed.iter().flat_map(|(file, names)| test_modules(file, &names.test_modules)).collect();
    parsed.retain(|(file, _)| !file.ancestors().any(|part| tests.contains(part)));
    Ok(parsed)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Where the modules `names`, declared in `file`, live: `NAME.rs` or the folder `NAME`.
fn test_modules(file: &Path, names: &[String]) -> Vec<PathBuf> {
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => file.parent().map(Path::to_path_buf),
        Some(_) => Some(file.with_extension("")),
    };
    let folder = folder.unwrap_or_default();
    names.iter().flat_map(|name| [folder.join(format!("{name}.rs")), folder.join(name)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FILES: Border =
        Border { room: "core", forbidden: &["std::fs", "libc"], why: "no OS calls" };

    #[test]
    fn forbids_whole_segments_only() {
        let forbids =
            |path: &str| NO_FILES.forbids(&path.split("::").map(str::to_owned).collect::<Vec<_>>());
        assert!(forbids("std::fs"));
        assert!(forbids("std::fs::File"));
        assert!(forbids("libc::getpid"));
        assert!(!forbids("std::fsx"));
        assert!(!forbids("std"));
        assert!(!forbids("crate::libc"));
    }

    #[test]
    fn names_the_file_and_line_of_a_crossing_and_leaves_tests_alone() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join("core").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("lib.rs", "mod model;\n#[cfg(test)]\nmod checks;\n");
        write("model.rs", "\nfn read() { std::fs::read(\"/proc/1\").ok(); }\n");
        write("checks.rs", "use std::fs;");
        write("checks/deeper.rs", "use std::fs;");
        assert_eq!(
            crossings(root.path(), &NO_FILES).unwrap(),
            ["core/model.rs:2: std::fs::read (no OS calls)"]
        );
    }

    #[test]
    fn a_room_that_was_renamed_is_an_error() {
        assert!(crossings(tempfile::tempdir().unwrap().path(), &NO_FILES).is_err());
    }

    #[test]
    fn a_file_that_does_not_parse_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("core")).unwrap();
        fs::write(root.path().join("core/lib.rs"), "fn {").unwrap();
        assert!(crossings(root.path(), &NO_FILES).is_err());
    }
}
