//! What a Go program says about how it was built: the section `.go.buildinfo` (debug/buildinfo).

use serde::{Deserialize, Serialize};

/// Begins the section.
const MAGIC: &[u8] = b"\xff Go buildinf:";

/// The most settings that are kept.
const MAX_SETTINGS: usize = 64;

/// The version and what is linked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// As `go1.26.8`, or longer for a development version.
    pub version: String,
    /// The import path of package main: `cmd/go`.
    pub path: Option<String>,
    /// The main module's path and version.
    pub module: Option<(String, String)>,
    /// Settings such as `CGO_ENABLED` and `-trimpath`.
    pub settings: Vec<(String, String)>,
}

/// Why there is no build information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Not a Go program.
    NotGo,
    /// Written as pointers: before Go 1.18.
    Old,
}

impl BuildInfo {
    /// Reads the section as it is written since Go 1.18: a header of 32 bytes whose flags have bit 1, then two strings, each behind
    /// its length as a varint.
    pub(super) fn read(section: &[u8]) -> Result<BuildInfo, Missing> {
        let flags =
            section.strip_prefix(MAGIC).and_then(|rest| rest.get(1)).ok_or(Missing::NotGo)?;
        if flags & 2 == 0 {
            return Err(Missing::Old);
        }
        let strings = section.get(32..).unwrap_or_default();
        let (version, rest) = string(strings).ok_or(Missing::NotGo)?;
        let mut info = BuildInfo { version: text(version), ..BuildInfo::default() };
        // runtime/debug frames the module information with 16 bytes on each side.
        let framed = string(rest).map(|(framed, _)| framed).unwrap_or_default();
        info.lines(&text(framed.get(16..).unwrap_or_default()));
        Ok(info)
    }

    fn lines(&mut self, lines: &str) {
        for line in lines.lines() {
            let mut words = line.split('\t');
            match (words.next(), words.next(), words.next()) {
                (Some("path"), Some(path), _) => self.path = Some(path.to_owned()),
                (Some("mod"), Some(path), Some(version)) => {
                    self.module = Some((path.to_owned(), version.to_owned()));
                }
                (Some("build"), Some(setting), _) if self.settings.len() < MAX_SETTINGS => {
                    if let Some((key, value)) = setting.split_once('=') {
                        self.settings.push((key.to_owned(), value.to_owned()));
                    }
                }
                _ => {}
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A string behind its length. One that is cut off by our own bound is given as far as it goes.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let rest = bytes.get(at + 1..)?;
            return Some(rest.split_at(length.min(rest.len())));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(flags: u8, strings: &[u8]) -> Vec<u8> {
        let mut bytes = [MAGIC, &[8, flags]].concat();
        bytes.resize(32, 0);
        bytes.extend_from_slice(strings);
        bytes
    }

    #[test]
    fn version_module_and_settings() {
        let lines = "path\tcmd/go\nmod\tcmd\tv1\t\nbuild\tCGO_ENABLED=0\nbuild\tGOARCH=amd64\n";
        let framed = format!("0123456789abcdef{lines}0123456789abcdef");
        let mut strings = b"\x08go1.26.8".to_vec();
        strings.push(framed.len() as u8);
        strings.extend_from_slice(framed.as_bytes());
        let info = BuildInfo::read(&section(2, &strings)).unwrap();
        assert_eq!(info.version, "go1.26.8");
        assert_eq!(info.path.as_deref(), Some("cmd/go"));
        assert_eq!(info.module, Some(("cmd".to_owned(), "v1".to_owned())));
        assert_eq!(info.settings[0], ("CGO_ENABLED".to_owned(), "0".to_owned()));
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(BuildInfo::read(b""), Err(Missing::NotGo));
        assert_eq!(BuildInfo::read(MAGIC), Err(Missing::NotGo));
        assert_eq!(BuildInfo::read(&section(0, b"")), Err(Missing::Old));
        assert_eq!(BuildInfo::read(&section(2, b"\xff\xff\xff\xff\xff")), Err(Missing::NotGo));
        let cut = BuildInfo::read(&section(2, b"\xff\xff\xff\x7fgo1.20")).unwrap();
        assert_eq!(cut.version, "go1.20");
    }
}
