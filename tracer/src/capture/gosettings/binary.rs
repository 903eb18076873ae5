//! What the go binary says about itself.

use super::files::Files;
use object::read::elf::{ElfFile, FileHeader};
use object::read::{Object, ObjectSection, ObjectSymbol, ReadCache, ReadRef};
use object::{Endianness, FileKind, elf};
use std::fs::File;

/// The largest program that is looked into, bytes; the go command has 15 MB.
const MAX_BINARY: u64 = 256 << 20;
/// The most that is read of its build information, bytes.
const MAX_BUILDINFO: u64 = 16 << 10;

/// What was found.
#[derive(Default)]
pub(super) struct Binary {
    /// As `go1.26.1`.
    pub(super) version: Option<String>,
    /// Whether it can call libc's getaddrinfo.
    pub(super) has_getaddrinfo: Option<bool>,
    /// Whether it was built with `-trimpath`, and so knows no GOROOT by itself.
    pub(super) trimmed: bool,
}

/// Looks into `/proc/PID/exe`.
pub(super) fn probe(files: &Files) -> Binary {
    files.with_exe(look_into).unwrap_or_default()
}

fn look_into(file: File) -> Option<Binary> {
    if file.metadata().ok()?.len() > MAX_BINARY {
        return None;
    }
    let cache = ReadCache::new(file);
    match FileKind::parse(&cache).ok()? {
        FileKind::Elf64 => facts::<elf::FileHeader64<Endianness>, _>(&cache),
        FileKind::Elf32 => facts::<elf::FileHeader32<Endianness>, _>(&cache),
        _ => None,
    }
}

fn facts<'data, Elf, R>(data: R) -> Option<Binary>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let file = ElfFile::<'data, Elf, R>::parse(data).ok()?;
    let buildinfo = file.section_by_name(".go.buildinfo").and_then(|section| {
        let size = section.size().min(MAX_BUILDINFO);
        section.data_range(section.address(), size).ok().flatten()
    });
    let inline = buildinfo.and_then(inline_strings);
    let imported = file.dynamic_symbols().any(|symbol| symbol.name() == Ok("getaddrinfo"));
    // Linked statically with cgo, libc is inside and has no dynamic symbol: not known then.
    let built_with =
        |setting: &str| inline.as_ref().is_some_and(|(_, settings)| settings.contains(setting));
    let cgo = built_with("\tCGO_ENABLED=1");
    let dynamic = file.section_by_name(".interp").is_some();
    Some(Binary {
        trimmed: built_with("\t-trimpath=true"),
        version: inline.as_ref().and_then(|(version, _)| version_word(version)),
        has_getaddrinfo: match (imported, dynamic, cgo) {
            (true, _, _) => Some(true),
            (false, false, true) => None,
            (false, _, _) => Some(false),
        },
    })
}

/// The version and the build settings of `.go.buildinfo`, as written since Go 1.18 (debug/buildinfo: 14 bytes of magic,
/// pointer size, flags of which bit 1 says that the strings follow at offset 32, each behind its length as a varint).
fn inline_strings(section: &[u8]) -> Option<(String, String)> {
    let flags = *section.strip_prefix(b"\xff Go buildinf:")?.get(1)?;
    if flags & 2 == 0 {
        return None;
    }
    let (version, rest) = string(section.get(32..)?)?;
    let settings = string(rest).map(|(settings, _)| settings).unwrap_or_default();
    Some((version, settings))
}

/// A string behind its length; one that is cut off by our own bound is given as far as it goes.
fn string(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let rest = bytes.get(at + 1..)?;
            let (text, rest) = rest.split_at(length.min(rest.len()));
            return Some((String::from_utf8_lossy(text).into_owned(), rest));
        }
    }
    None
}

/// `go1.26.1` of `go1.26.1 X:nocoverageredesign`, where it looks like a version.
fn version_word(text: &str) -> Option<String> {
    let word = text.split(' ').next()?;
    let plain = word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_graphic());
    (plain && (word.starts_with("go1.") || word.starts_with("devel"))).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(flags: u8, strings: &[u8]) -> Vec<u8> {
        let mut bytes = b"\xff Go buildinf:\x08".to_vec();
        bytes.push(flags);
        bytes.resize(32, 0);
        bytes.extend_from_slice(strings);
        bytes
    }

    #[test]
    fn the_version_stands_in_the_build_information() {
        let (version, settings) = inline_strings(&section(2, b"\x08go1.26.8\x03abc")).unwrap();
        assert_eq!((version.as_str(), settings.as_str()), ("go1.26.8", "abc"));
        assert_eq!(version_word("go1.26.8 X:x").as_deref(), Some("go1.26.8"));
        assert_eq!(version_word("go1.\x1b[31m"), None);
    }

    #[test]
    fn hostile_build_information_gives_nothing_or_what_is_there() {
        assert_eq!(inline_strings(b""), None);
        assert_eq!(inline_strings(&section(0, b"\x08go1.26.8")), None);
        assert_eq!(inline_strings(&section(2, b"")), None);
        assert_eq!(inline_strings(&section(2, b"\xff\xff\xff\xff\xff")), None);
        let (version, _) = inline_strings(&section(2, b"\xff\xff\xff\x7fgo1")).unwrap();
        assert_eq!(version, "go1");
    }
}
