//! The file of a program as memory: what its segments would hold once they are loaded where the file says.

use crate::golang::memory::{Piece, ReadMemory};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64, Rela64};
use object::read::ReadRef;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use std::ops::Range;

/// The most segments that are looked at.
const MAX_SEGMENTS: usize = 64;

/// The most sections that are looked at.
const MAX_SECTIONS: usize = 1024;

/// The most pointers that the loader has to set; the go command has 90,000 where it may be loaded anywhere.
const MAX_POINTERS: usize = 4 << 20;

/// A part of the file that is loaded.
#[derive(Debug, Clone, Copy)]
struct Segment<'d> {
    address: u64,
    offset: u64,
    length: u64,
    executable: bool,
    /// What is in it; nothing of what is executed, of which little is wanted.
    bytes: &'d [u8],
}

impl<'d> Segment<'d> {
    fn of(header: &ProgramHeader64<LE>, file: impl ReadRef<'d>) -> Option<Segment<'d>> {
        (header.p_type(LE) == elf::PT_LOAD).then_some(())?;
        let executable = header.p_flags(LE).0 & elf::PF_X.0 != 0;
        Some(Segment {
            address: header.p_vaddr(LE),
            offset: header.p_offset(LE),
            length: header.p_filesz(LE),
            executable,
            bytes: if executable { &[] } else { header.data(LE, file).ok()? },
        })
    }

    fn from(&self, address: u64) -> Option<&'d [u8]> {
        let at = usize::try_from(address.checked_sub(self.address)?).ok()?;
        self.bytes.get(at..).filter(|rest| !rest.is_empty())
    }
}

/// The segments of a file, pointers set as the dynamic loader sets them (ld.so(8)), at a distance of zero.
#[derive(Debug)]
pub(super) struct Image<'d, R> {
    file: R,
    segments: Vec<Segment<'d>>,
    /// Addresses and what is written there, in order of address.
    pointers: Vec<(u64, u64)>,
}

impl<'d, R: ReadRef<'d>> Image<'d, R> {
    /// None where it is no ELF file of 64 bits.
    pub(super) fn of(file: R) -> Option<Image<'d, R>> {
        let header = FileHeader64::<LE>::parse(file).ok()?;
        let segments = header.program_headers(LE, file).ok()?.iter().take(MAX_SEGMENTS);
        let segments = segments.filter_map(|segment| Segment::of(segment, file)).collect();
        Some(Image { file, segments, pointers: pointers(header, file) })
    }

    /// What is loaded from `address` to the end of its segment, pointers not set. None of what is executed.
    pub(super) fn from(&self, address: u64) -> Option<&'d [u8]> {
        self.segments.iter().find_map(|segment| segment.from(address))
    }

    /// Where in the file lies what is loaded at `address`.
    pub(super) fn offset(&self, address: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| segment.from(address).is_some())?;
        segment.offset.checked_add(address.checked_sub(segment.address)?)
    }

    /// The instructions of `code`, and where in the file they begin.
    pub(super) fn code(&self, code: &Range<u64>) -> Option<(&'d [u8], u64)> {
        let executed = self.segments.iter().filter(|segment| segment.executable);
        let mut within = executed.filter_map(|segment| {
            let (from, to) =
                (code.start.checked_sub(segment.address)?, code.end.checked_sub(segment.address)?);
            let offset = segment.offset.checked_add(from)?;
            (from <= to && to <= segment.length).then_some((offset, to - from))
        });
        let (offset, length) = within.next()?;
        Some((self.file.read_bytes_at(offset, length).ok()?, offset))
    }
}

/// What a program that may be loaded anywhere leaves to the loader: base plus addend (R_X86_64_RELATIVE, R_AARCH64_RELATIVE). Without
/// it, the pointers of its module data are zero in the file. The compact form (DT_RELR) leaves the addends in place.
fn pointers<'d>(header: &FileHeader64<LE>, file: impl ReadRef<'d>) -> Vec<(u64, u64)> {
    let relative = match header.e_machine(LE) {
        elf::EM_X86_64 => elf::R_X86_64_RELATIVE.0,
        elf::EM_AARCH64 => elf::R_AARCH64_RELATIVE.0,
        _ => return Vec::new(),
    };
    let sections = header.section_headers(LE, file).unwrap_or_default().iter().take(MAX_SECTIONS);
    let loaded = sections.filter(|section| section.sh_flags(LE).0 & elf::SHF_ALLOC.0 != 0);
    let all = loaded.filter_map(|section| section.rela(LE, file).ok().flatten());
    let all = all.flat_map(|(entries, _): (&[Rela64<LE>], _)| entries).take(MAX_POINTERS);
    let relative = all.filter(|entry| entry.r_type(LE, false).0 == relative);
    let mut pointers: Vec<(u64, u64)> = relative
        .map(|entry| (entry.r_offset.get(LE), entry.r_addend.get(LE).cast_unsigned()))
        .collect();
    pointers.sort_unstable();
    pointers
}

impl<'d, R: ReadRef<'d>> ReadMemory for Image<'d, R> {
    fn read(&self, pieces: &mut [Piece<'_>]) {
        for piece in pieces {
            let there = self.from(piece.address).unwrap_or_default();
            piece.filled = there.len().min(piece.buffer.len());
            let (Some(to), Some(from)) =
                (piece.buffer.get_mut(..piece.filled), there.get(..piece.filled))
            else {
                continue;
            };
            to.copy_from_slice(from);
            self.set_pointers(piece.address, to);
        }
    }
}

impl<R> Image<'_, R> {
    /// Those that lie in it wholly: they are aligned, and so are the pieces that are read.
    fn set_pointers(&self, address: u64, bytes: &mut [u8]) {
        let first = self.pointers.partition_point(|(at, _)| *at < address);
        for (at, pointer) in self.pointers.get(first..).unwrap_or_default() {
            let from = usize::try_from(at - address).unwrap_or(usize::MAX);
            if from >= bytes.len() {
                break;
            }
            if let Some(word) = bytes.get_mut(from..).and_then(|rest| rest.first_chunk_mut::<8>()) {
                *word = pointer.to_le_bytes();
            }
        }
    }
}
