//! A reading that can be done again without the process: what of its memory was looked at, and what the kernel told beside it.

use super::{Binary, Extras, Piece, ReadMemory};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Begins a recording.
const MAGIC: &[u8] = b"gmtrace.memory/1\n";

/// Memory is kept in pieces of this many bytes, so that little is kept that was not looked at.
const GRAIN: usize = 64;

type Lines = BTreeMap<u64, [u8; GRAIN]>;

/// Passes on memory, and remembers what was read of it.
pub struct Recorder<'a> {
    memory: &'a dyn ReadMemory,
    lines: RefCell<Lines>,
}

impl<'a> Recorder<'a> {
    /// Nothing read yet.
    pub fn new(memory: &'a dyn ReadMemory) -> Recorder<'a> {
        Recorder { memory, lines: RefCell::default() }
    }

    /// What was read, of a process that runs this program.
    pub fn finish(self, binary: Binary, extras: Extras) -> Recorded {
        Recorded { about: About { binary, extras }, lines: self.lines.into_inner() }
    }
}

impl ReadMemory for Recorder<'_> {
    fn read(&self, pieces: &mut [Piece<'_>]) {
        self.memory.read(pieces);
        let whole = pieces.iter().filter(|piece| piece.filled == GRAIN);
        let lines = whole.filter_map(|piece| Some((piece.address, *piece.buffer.first_chunk()?)));
        self.lines.borrow_mut().extend(lines);
    }

    fn grain(&self) -> usize {
        GRAIN
    }
}

/// What of a process does not come from its memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    binary: Binary,
    extras: Extras,
}

/// The memory of a process, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    about: About,
    lines: Lines,
}

impl Recorded {
    /// The program.
    pub fn binary(&self) -> &Binary {
        &self.about.binary
    }

    /// What the kernel told.
    pub fn extras(&self) -> &Extras {
        &self.about.extras
    }

    /// Behind a first line and the length of what follows, JSON; then address, length and bytes of every range of memory. Numbers
    /// have their lowest byte first.
    ///
    /// # Errors
    /// Those of serde_json.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let about = serde_json::to_vec(&self.about)?;
        let mut bytes = [MAGIC, &(about.len() as u32).to_le_bytes(), &about].concat();
        let mut ranges: Vec<(u64, Vec<u8>)> = Vec::new();
        for (address, line) in &self.lines {
            match ranges.last_mut() {
                Some((from, range)) if from.wrapping_add(range.len() as u64) == *address => {
                    range.extend(line);
                }
                _ => ranges.push((*address, line.to_vec())),
            }
        }
        for (address, range) in ranges {
            bytes.extend(address.to_le_bytes());
            bytes.extend((range.len() as u32).to_le_bytes());
            bytes.extend(range);
        }
        Ok(bytes)
    }

    /// Reads what [`Recorded::to_bytes`] wrote. None for anything else; a range that is cut off ends it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Recorded> {
        let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (about, mut rest) = rest.split_at_checked(length)?;
        let mut recorded =
            Recorded { about: serde_json::from_slice(about).ok()?, lines: Lines::new() };
        while let Some((address, length, after)) = range_head(rest) {
            let Some((range, after)) = after.split_at_checked(length) else { break };
            let (lines, _) = range.as_chunks::<GRAIN>();
            for (index, line) in (0_u64..).zip(lines) {
                recorded.lines.insert(address.wrapping_add(index * GRAIN as u64), *line);
            }
            rest = after;
        }
        Some(recorded)
    }
}

fn range_head(bytes: &[u8]) -> Option<(u64, usize, &[u8])> {
    let (address, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    Some((u64::from_le_bytes(*address), length, rest))
}

impl ReadMemory for Recorded {
    fn read(&self, pieces: &mut [Piece<'_>]) {
        for piece in pieces {
            if let Some(line) = self.lines.get(&piece.address)
                && let Some(buffer) = piece.buffer.first_chunk_mut()
            {
                *buffer = *line;
                piece.filled = GRAIN;
            }
        }
    }

    fn grain(&self) -> usize {
        GRAIN
    }
}
