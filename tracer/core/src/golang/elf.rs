//! What of an ELF file leads into a Go process: sections, a few symbols, the build information.

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::pod::slice_from_all_bytes;
use object::read::elf::{FileHeader, SectionHeader, SectionTable, Sym};
use object::read::{ReadCache, ReadRef};
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek};

/// The largest symbol or string table that is read, bytes; the go command has 0.7 MB.
const MAX_TABLE: u64 = 64 << 20;

/// The most sections that are looked at.
const MAX_SECTIONS: usize = 1024;

/// The most that is read of the build information, bytes: it lists every module that was linked.
const MAX_BUILDINFO: u64 = 256 << 10;

/// The processor that a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Machine {
    /// x86_64.
    Amd64,
    /// aarch64.
    Arm64,
}

/// A part of the address space, as the file gives it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Where it begins.
    pub address: u64,
    /// How long it is, bytes.
    pub size: u64,
}

impl Area {
    /// Moved by the distance at which the program was loaded.
    pub(super) fn moved(self, bias: u64) -> Area {
        Area { address: self.address.wrapping_add(bias), size: self.size }
    }
}

/// Addresses of variables of the runtime, where the file has a symbol table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbols {
    /// `runtime.firstmoduledata`.
    pub module: Option<u64>,
    /// `runtime.pclntab`.
    pub pclntab: Option<u64>,
    /// `runtime.allgs`.
    pub allgs: Option<u64>,
    /// `runtime.allm`.
    pub allm: Option<u64>,
    /// `runtime.waitReasonStrings`.
    pub wait_reasons: Option<u64>,
}

/// What was found in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elf {
    pub(super) machine: Machine,
    pub(super) entry: u64,
    pub(super) sections: Vec<(String, Area)>,
    pub(super) symbols: Symbols,
    pub(super) buildinfo: Vec<u8>,
}

impl Elf {
    /// None for what is no ELF file of a supported kind.
    pub(super) fn read(file: impl Read + Seek) -> Option<Elf> {
        let data = &ReadCache::new(file);
        let header = FileHeader64::<LE>::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let machine = match header.e_machine(endian) {
            elf::EM_X86_64 => Machine::Amd64,
            elf::EM_AARCH64 => Machine::Arm64,
            _ => return None,
        };
        let table = header.sections(endian, data).ok()?;
        let mut elf = Elf {
            machine,
            entry: header.e_entry(endian),
            sections: Vec::new(),
            symbols: Symbols::default(),
            buildinfo: Vec::new(),
        };
        for section in table.iter().take(MAX_SECTIONS) {
            elf.section(&table, section, data);
        }
        Some(elf)
    }

    fn section<'data, R: ReadRef<'data>>(
        &mut self,
        table: &SectionTable<'data, FileHeader64<LE>, R>,
        section: &'data SectionHeader64<LE>,
        data: R,
    ) {
        let name = table.section_name(LE, section).unwrap_or_default();
        if section.sh_flags(LE).0 & elf::SHF_ALLOC.0 != 0 {
            let area = Area { address: section.sh_addr(LE), size: section.sh_size(LE) };
            self.sections.push((String::from_utf8_lossy(name).into_owned(), area));
        }
        if section.sh_type(LE) == elf::SHT_SYMTAB {
            self.symbols = symbols(table, section, data).unwrap_or_default();
        }
        if name == b".go.buildinfo" {
            let (offset, size) = section.file_range(LE).unwrap_or_default();
            let bytes = data.read_bytes_at(offset, size.min(MAX_BUILDINFO));
            self.buildinfo = bytes.unwrap_or_default().to_vec();
        }
    }

    /// The section with this name.
    pub(super) fn area(&self, name: &str) -> Option<Area> {
        self.sections.iter().find(|(found, _)| found == name).map(|(_, area)| *area)
    }
}

/// One pass over the whole table: the go command has 20,000 symbols.
fn symbols<'data, R: ReadRef<'data>>(
    table: &SectionTable<'data, FileHeader64<LE>, R>,
    section: &'data SectionHeader64<LE>,
    data: R,
) -> Option<Symbols> {
    let names = table.section(section.link(LE)).ok()?;
    if section.sh_size(LE) > MAX_TABLE || names.sh_size(LE) > MAX_TABLE {
        return None;
    }
    let entries: &[Sym64<LE>] = slice_from_all_bytes(section.data(LE, data).ok()?).ok()?;
    let names = names.data(LE, data).ok()?;
    let mut found = Symbols::default();
    for entry in entries {
        let Some(name) = names.get(entry.st_name(LE) as usize..) else { continue };
        let Some(name) = name.strip_prefix(b"runtime.") else { continue };
        let place = if name.starts_with(b"firstmoduledata\0") {
            &mut found.module
        } else if name.starts_with(b"pclntab\0") {
            &mut found.pclntab
        } else if name.starts_with(b"allgs\0") {
            &mut found.allgs
        } else if name.starts_with(b"allm\0") {
            &mut found.allm
        } else if name.starts_with(b"waitReasonStrings\0") {
            &mut found.wait_reasons
        } else {
            continue;
        };
        *place = Some(entry.st_value(LE));
    }
    Some(found)
}
