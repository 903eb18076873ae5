//! What requests of Go programs fail by: errors are interfaces, and it takes the type of one to know what is in it.

use super::calls::Values;
use gmtrace_core::golang::probes::What as Meaning;
use gmtrace_core::redact;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

/// More than a name of a type has bytes.
const NAME: usize = 200;

/// Types whose first field is a string that tells what it was.
const TELLING: &[&str] = &[
    "errors.errorString",
    "fmt.wrapError",
    "net.OpError",
    "os.SyscallError",
    "tls.RecordHeaderError",
    "http.httpError",
    "http.timeoutError",
];

/// The names of types in a program. It is opened when one is wanted: who fails ends soon, and a file that stays open may lie on a
/// filesystem that does not let go of it.
#[derive(Debug)]
pub(super) struct Names {
    /// The program, as gmtrace finds it.
    pub(super) path: PathBuf,
    /// Its device and inode.
    pub(super) key: (u64, u64),
    /// Where in the file the names begin.
    pub(super) start: u64,
}

impl Names {
    /// None where the file is no longer there.
    pub(super) fn open(&self) -> Option<Types> {
        let program = File::open(&self.path).ok()?;
        let facts = program.metadata().ok()?;
        ((facts.dev(), facts.ino()) == self.key).then_some(Types { program, start: self.start })
    }
}

/// The same, opened.
pub(super) struct Types {
    program: File,
    start: u64,
}

impl Types {
    /// The name of the type whose record has these words at its offset: without the star of a pointer, which a name may begin with
    /// even where the type is none (`abi.TFlagExtraStar` in src/internal/abi/type.go).
    fn name(&self, words: u64) -> Option<String> {
        let offset = u64::from(words as u32);
        let mut bytes = [0; NAME];
        let kept = self.program.read_at(&mut bytes, self.start.checked_add(offset)?).ok()?;
        name(bytes.get(..kept)?)
    }
}

/// A byte of flags, the length as a varint, and the name (`abi.Name` in src/internal/abi/type.go).
fn name(bytes: &[u8]) -> Option<String> {
    let (_, bytes) = bytes.split_first()?;
    let (first, rest) = bytes.split_first()?;
    let (length, text) = match first & 0x80 {
        0 => (usize::from(*first), rest),
        _ => {
            let (second, rest) = rest.split_first().filter(|(second, _)| **second < 0x80)?;
            (usize::from(first & 0x7f) | usize::from(*second) << 7, rest)
        }
    };
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "*._/[]-".contains(c);
    let name = text.trim_start_matches('*');
    (!name.is_empty() && text.chars().all(is_name)).then(|| name.to_owned())
}

/// The error of a call: its type, what it tells, and the type of its cause, as far as that could be read.
pub(super) fn told(values: &Values, types: &Types) -> Option<String> {
    let of = |what| types.name(values.number(what)?);
    let kind = of(Meaning::ErrorType)?;
    let cause = match kind.as_str() {
        "net.OpError" => of(Meaning::CauseType),
        "tls.CertificateVerificationError" => of(Meaning::CertificateCause),
        _ => None,
    };
    let text = |kind: &str, what| {
        let text = values.text(what).filter(|_| TELLING.contains(&kind))?;
        Some(redact::text(&text).into_owned()).filter(|text| !text.is_empty())
    };
    let one = |kind: String, what| match text(&kind, what) {
        Some(text) => format!("{kind} {text}"),
        None => kind,
    };
    let told = one(kind, Meaning::ErrorText);
    Some(match cause.map(|cause| one(cause, Meaning::CauseText)) {
        Some(cause) => format!("{told}: {cause}"),
        None => told,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_length_before_it() {
        let named = |flags: u8, length: &[u8], text: &str| {
            name(&[&[flags], length, text.as_bytes(), b"\0more"].concat())
        };
        assert_eq!(named(1, &[12], "*net.OpError").as_deref(), Some("net.OpError"));
        assert_eq!(named(0, &[9], "tls.alert").as_deref(), Some("tls.alert"));
        let long = "x".repeat(150);
        assert_eq!(named(0, &[0x96, 1], &long), Some(long));
        assert_eq!(named(0, &[0xff, 0xff], "x"), None);
        assert_eq!(named(0, &[3], "a\u{1b}["), None, "not a name");
        assert_eq!(name(&[]), None);
        assert_eq!(name(&[0, 7, b'x']), None);
    }
}
