//! A Go program as a file, and as it was loaded.

use super::Unreadable;
use super::buildinfo::{BuildInfo, Missing};
use super::elf::{Area, Elf, Machine, Symbols};
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek};

/// What is known of a Go program from its file. The same for every process that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// Version, modules and settings.
    pub build: BuildInfo,
    /// The processor it is for.
    pub processor: Machine,
    /// The address of its first instruction, before it is moved.
    pub entry: u64,
    /// Addresses of variables, where it has symbols.
    pub symbols: Symbols,
    /// The table of functions.
    pub pclntab: Option<Area>,
    /// Instructions.
    pub code: Vec<Area>,
    /// Initialised variables, among them the module data.
    pub data: Vec<Area>,
    /// Variables that begin as zero and hold pointers, among them `allgs`.
    pub variables: Vec<Area>,
    /// Everything that is loaded.
    pub loaded: Vec<Area>,
    /// The module data, where it has a section of its own (Go 1.26 and later).
    pub module: Option<Area>,
}

impl Binary {
    /// Looks into the file of a program; none when it is not a Go program. Reads headers, the symbol table and the build
    /// information, and no more.
    ///
    /// # Errors
    /// When it was built by a Go that is not supported.
    pub fn read(file: impl Read + Seek) -> Result<Option<Binary>, Unreadable> {
        let Some(elf) = Elf::read(file) else { return Ok(None) };
        let build = match BuildInfo::read(&elf.buildinfo) {
            Ok(build) => build,
            Err(Missing::NotGo) => return Ok(None),
            Err(Missing::Old) => {
                return Err(Unreadable::new("it was built by a Go before 1.18"));
            }
        };
        Ok(Some(Binary::new(&elf, build)))
    }

    fn new(elf: &Elf, build: BuildInfo) -> Binary {
        // Programs that may be loaded anywhere have what the loader has to change behind this prefix.
        let areas = |names: &[&str]| -> Vec<Area> {
            let found = elf.sections.iter().filter(|(name, _)| {
                let name = name
                    .strip_prefix(".data.rel.ro")
                    .filter(|rest| !rest.is_empty())
                    .unwrap_or(name);
                names.contains(&name)
            });
            found.map(|(_, area)| *area).collect()
        };
        let symbol = |address: Option<u64>| address.map(|address| Area { address, size: 0 });
        Binary {
            build,
            processor: elf.machine,
            entry: elf.entry,
            symbols: elf.symbols,
            pclntab: areas(&[".gopclntab"]).first().copied().or(symbol(elf.symbols.pclntab)),
            code: areas(&[".text"]),
            data: areas(&[".go.module", ".noptrdata", ".data", ".data.rel.ro"]),
            variables: areas(&[".bss"]),
            loaded: elf.sections.iter().map(|(_, area)| *area).collect(),
            module: elf.area(".go.module"),
        }
    }
}

/// A program and the distance by which it was moved when it was loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'b> {
    pub(crate) binary: &'b Binary,
    pub(crate) bias: u64,
}

impl Place<'_> {
    fn moved(&self, address: Option<u64>) -> Option<u64> {
        address.map(|address| address.wrapping_add(self.bias))
    }

    fn all_moved(&self, areas: &[Area]) -> Vec<Area> {
        areas.iter().map(|area| area.moved(self.bias)).collect()
    }

    pub(super) fn pclntab(&self) -> Option<u64> {
        self.moved(self.binary.pclntab.map(|area| area.address))
    }

    pub(super) fn module(&self) -> Option<u64> {
        let section = self.binary.module.map(|area| area.address);
        self.moved(self.binary.symbols.module.or(section))
    }

    pub(super) fn allgs(&self) -> Option<u64> {
        self.moved(self.binary.symbols.allgs)
    }

    pub(super) fn allm(&self) -> Option<u64> {
        self.moved(self.binary.symbols.allm)
    }

    pub(super) fn wait_reasons(&self) -> Option<u64> {
        self.moved(self.binary.symbols.wait_reasons)
    }

    pub(super) fn data(&self) -> Vec<Area> {
        self.all_moved(&self.binary.data)
    }

    pub(super) fn variables(&self) -> Vec<Area> {
        self.all_moved(&self.binary.variables)
    }

    pub(super) fn holds_code(&self, address: u64) -> bool {
        self.is_in(&self.binary.code, address)
    }

    pub(super) fn holds_variables(&self, address: u64) -> bool {
        let places = [&self.binary.data, &self.binary.variables];
        places.into_iter().any(|areas| self.is_in(areas, address))
    }

    pub(super) fn is_loaded(&self, address: u64) -> bool {
        self.is_in(&self.binary.loaded, address)
    }

    fn is_in(&self, areas: &[Area], address: u64) -> bool {
        let address = address.wrapping_sub(self.bias);
        areas.iter().any(|area| address >= area.address && address - area.address < area.size)
    }

    /// Bytes of the smallest instruction.
    pub(super) fn quantum(&self) -> u64 {
        match self.binary.processor {
            Machine::Amd64 => 1,
            Machine::Arm64 => 4,
        }
    }
}
