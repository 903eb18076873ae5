//! # cache-corrupt: a file in the module cache is not what it was
//!
//! go found in its module cache a zip, a hash or a directory that does not match what was once downloaded: a disk that was full, a
//! machine that went down, a cache that was copied while it was written, or somebody edited it. Or a module was not unpacked to its end,
//! and go, which would do it again, may not write there: a cache mounted read-only, or one of another user.
//!
//! **Seen by** what go says: `zip has been modified`, `dir has been modified`, `unexpected ziphash`, `not a valid zip file`; or a complaint
//! about a go.mod file that nobody was asked for; or a file of a module that go may not write, beside its `.partial`.
//!
//! **What to do** Remove that module's files, or the whole cache (`go clean -modcache`), and download again. Where another cause is not
//! known, check the disk. What was not unpacked to its end, let somebody unpack who may write there.

use super::draft::Draft;
use super::not_a_module_proxy::asked_somebody;
use super::said;
use super::scene::Scene;
use super::{paste, unpacking};
use crate::report::{Confidence, Finding, Remedy};
use crate::text;

/// What go says of a go.mod file that is none. Where it asked nobody, the file was in the cache.
const NO_GO_MOD: &str = "parsing go.mod: missing module line";

/// What go says, and what is wrong then.
const WORDS: &[(&str, &str)] = &[
    ("zip has been modified", "zip"),
    ("dir has been modified", "directory"),
    ("unexpected ziphash", "hash of the zip"),
    ("malformed ziphash", "hash of the zip"),
    ("missing ziphash", "hash of the zip"),
    ("not a valid zip file", "zip"),
    ("zip: checksum error", "zip"),
];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let words = WORDS.iter().copied().chain([(NO_GO_MOD, "go.mod file")]);
    let told = words.into_iter().find_map(|(words, what)| told(scene, words, what));
    told.or_else(|| not_unpacked(scene)).into_iter().collect()
}

fn told(scene: &Scene<'_>, words: &str, what: &str) -> Option<Finding> {
    let (t, pid, line) = scene.said(words).filter(|(_, pid, _)| scene.is_go(*pid))?;
    if words == NO_GO_MOD && asked_somebody(scene, pid) {
        return None;
    }
    // What has just come by the network is hashed before it is unpacked, and fails then.
    if words.contains("zip file") && !line.contains("unzip /") {
        return None;
    }
    // `example.com/lib v1.4.2: zip has been modified (PATH)` of go mod verify; else the path tells, or `M@V: ...`.
    let of_path = || scene.module_of(pid, &format!("{}.lock", path(line)?.strip_suffix(".zip")?));
    let spoken = || said::module_in(line).filter(|module| !module.starts_with('/'));
    let module = verified(line).or_else(of_path).or_else(spoken);
    let whose = module.as_ref().map(|m| format!(" of {}", text::module(m)));
    let summary =
        format!("the {what}{} in the module cache is damaged.", whose.unwrap_or_default());
    let made =
        Draft::new(scene, "cache-corrupt", pid, t, summary).seen(line.to_owned(), t, "stderr");
    let made = match path(line) {
        Some(path) => made.path(path).fact("file", [path.to_owned()]),
        None => made,
    };
    let made = match module {
        Some(module) => made.modules(vec![module]),
        None => made,
    };
    let mut finding = made.or_else("the disk is failing: see dmesg").done();
    finding.remedies.push(Remedy {
        text: "empty the cache, and download all again:".to_owned(),
        command: Some("go clean -modcache".to_owned()),
        safe: false,
    });
    Some(finding)
}

/// go says only which file it may not write, in most cases the lock: that it needs none where the module is whole, it does not say.
fn not_unpacked(scene: &Scene<'_>) -> Option<Finding> {
    let (looked, snapshot) = scene.session.snapshot.as_ref()?;
    let there = |r: &unpacking::Refused<'_>| snapshot.partial.contains(&r.note);
    let refused = unpacking::refused(scene.session).filter(|r| scene.is_go(r.pid)).find(there)?;
    let summary = format!(
        "{} in the module cache was not unpacked to its end, and go may not do it again.",
        text::module(&refused.module)
    );
    let made = Draft::new(scene, "cache-corrupt", refused.pid, refused.t, summary)
        .modules(vec![refused.module.clone()])
        .path(&refused.note)
        .fact("file", [refused.note.clone()])
        .seen(refused.line.to_owned(), refused.t, "stderr")
        .evidence(format!("{} is there", refused.note), *looked, "snapshot");
    let made = match refused.is_lock {
        true => made
            .confidence(Confidence::Likely)
            .or_else("another go command unpacks it at this moment"),
        false => made,
    };
    let cache = paste::value(scene, refused.pid, "GOMODCACHE").map(paste::word);
    let again = cache.map(|cache| {
        format!("GOMODCACHE={cache} go mod download {}", paste::word(&refused.module))
    });
    let made = made.remedy("let somebody who may write there unpack it:", again);
    Some(made.remedy("or use a module cache of your own (GOMODCACHE)", None).done())
}

fn verified(line: &str) -> Option<String> {
    let (module, version) = line.split_once(": ")?.0.split_once(' ')?;
    let version = version.trim_end();
    version.starts_with('v').then(|| format!("{module}@{version}"))
}

/// The path in brackets, or the first that lies in a module cache.
fn path(line: &str) -> Option<&str> {
    let bracket = line.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let word =
        || line.split([' ', '"']).find(|word| word.starts_with('/') && word.contains("/mod/"));
    bracket
        .filter(|path| path.starts_with('/'))
        .or_else(word)
        .map(|w| w.trim_end_matches([':', ',']))
}
