//! Another program's memory, read a page at a time and never the same page twice.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Bytes of a page; one may be read where its neighbour may not.
pub const PAGE: usize = 4096;

/// The most pages that one reading takes out of a process: 128 MiB.
const MAX_PAGES: usize = 32 << 10;

/// The most that one reading does with them, in bytes looked at. The go command takes some 100,000.
const MAX_WORK: usize = 64 << 20;

/// The most pages that are asked for at once: IOV_MAX of process_vm_readv(2).
const BATCH: usize = 1024;

/// A piece of memory that is wanted.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Where it begins.
    pub address: u64,
    /// What is filled, from its beginning.
    pub buffer: &'a mut [u8],
    /// How much of it was filled; zero where nothing may be read.
    pub filled: usize,
}

/// Memory that may be read: of a live process, of a recording, of a fuzzer's making.
pub trait ReadMemory {
    /// Fills every piece as far as it can be read from its beginning.
    fn read(&self, pieces: &mut [Piece<'_>]);

    /// In what units memory is asked for, bytes: a power of two, at most [`PAGE`]. Recordings take small ones, to stay small.
    fn grain(&self) -> usize {
        PAGE
    }
}

type Page = Option<Rc<[u8]>>;

/// What was read so far. Everything the reader of goroutines looks at goes through here, so this bounds it: garbage pointers yield none,
/// and when [`MAX_PAGES`] or [`MAX_WORK`] are used up everything further is unreadable.
pub(super) struct Pages<'a> {
    memory: &'a dyn ReadMemory,
    grain: u64,
    pages: RefCell<HashMap<u64, Page>>,
    /// The page that was looked at last: the next look is mostly there too.
    last: RefCell<Option<(u64, Rc<[u8]>)>>,
    pages_left: Cell<usize>,
    work_left: Cell<usize>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(memory: &'a dyn ReadMemory) -> Pages<'a> {
        let grain = memory.grain().clamp(8, PAGE).next_power_of_two();
        Pages {
            memory,
            grain: grain as u64,
            pages: RefCell::default(),
            last: RefCell::default(),
            pages_left: Cell::new(MAX_PAGES),
            work_left: Cell::new(MAX_WORK),
        }
    }

    /// Whether a bound was met, and memory left unread for it.
    pub(super) fn exhausted(&self) -> bool {
        self.pages_left.get() == 0 || self.work_left.get() == 0
    }

    /// None when there is not so much work left.
    fn spend(&self, bytes: usize) -> Option<()> {
        let left = self.work_left.get().checked_sub(bytes);
        self.work_left.set(left.unwrap_or(0));
        left.map(|_| ())
    }

    /// Reads all pages of these (address, length) ranges at once, so that single readings find them.
    pub(super) fn prefetch(&self, ranges: impl IntoIterator<Item = (u64, u64)>) {
        // A recording holds what was needed, and nothing of what only might have been.
        if self.grain < PAGE as u64 {
            return;
        }
        let mut wanted = Vec::new();
        for (address, length) in ranges {
            let end = address.saturating_add(length);
            let mut page = self.base(address);
            while page < end && wanted.len() < self.pages_left.get() {
                if !self.pages.borrow().contains_key(&page) {
                    wanted.push(page);
                }
                let Some(next) = page.checked_add(self.grain) else { break };
                page = next;
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        for batch in wanted.chunks(BATCH) {
            self.load(batch);
        }
    }

    fn base(&self, address: u64) -> u64 {
        address & !(self.grain - 1)
    }

    /// Where the page after that of `address` begins.
    pub(super) fn after(&self, address: u64) -> Option<u64> {
        self.base(address).checked_add(self.grain)
    }

    fn load(&self, bases: &[u64]) {
        let grain = self.grain as usize;
        let room = self.pages_left.get().min(bases.len());
        let bases = bases.get(..room).unwrap_or_default();
        self.pages_left.set(self.pages_left.get() - room);
        let mut bytes = vec![0; bases.len() * grain];
        let buffers = bytes.chunks_exact_mut(grain).zip(bases);
        let mut pieces: Vec<Piece<'_>> =
            buffers.map(|(buffer, base)| Piece { address: *base, buffer, filled: 0 }).collect();
        self.memory.read(&mut pieces);
        let mut pages = self.pages.borrow_mut();
        for piece in pieces {
            let part = piece.buffer.get(..piece.filled).filter(|part| !part.is_empty());
            pages.insert(piece.address, part.map(Rc::from));
        }
    }

    /// What is readable from `address` to the end of its page.
    pub(super) fn rest(&self, address: u64) -> Option<Rest> {
        self.spend(1)?;
        let page = self.page(self.base(address))?;
        let from = usize::try_from(address & (self.grain - 1)).ok()?;
        (from < page.len()).then_some(Rest { page, from })
    }

    fn page(&self, base: u64) -> Page {
        if let Some((_, page)) = self.last.borrow().as_ref().filter(|(last, _)| *last == base) {
            return Some(Rc::clone(page));
        }
        let known = self.pages.borrow().get(&base).cloned();
        let page = known.or_else(|| {
            self.load(&[base]);
            self.pages.borrow().get(&base).cloned()
        });
        let page = page.flatten()?;
        *self.last.borrow_mut() = Some((base, Rc::clone(&page)));
        Some(page)
    }

    /// All `length` bytes at `address`, or none.
    pub(super) fn bytes(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        self.spend(length)?;
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let rest = self.rest(address.checked_add(bytes.len() as u64)?)?;
            let wanted = length - bytes.len();
            bytes.extend(rest.bytes().iter().take(wanted));
        }
        Some(bytes)
    }

    fn array<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let rest = self.rest(address)?;
        match rest.bytes().first_chunk() {
            Some(array) => Some(*array),
            None => self.bytes(address, N)?.try_into().ok(),
        }
    }

    /// The byte at `address`.
    pub(super) fn byte(&self, address: u64) -> Option<u8> {
        self.array::<1>(address).map(|[byte]| byte)
    }

    /// The 32-bit number at `address`.
    pub(super) fn half(&self, address: u64) -> Option<u32> {
        self.array(address).map(u32::from_le_bytes)
    }

    /// The 64-bit number at `address`.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        self.array(address).map(u64::from_le_bytes)
    }

    /// The text up to a zero byte, which has to come within `limit` bytes.
    pub(super) fn terminated(&self, address: u64, limit: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            let rest = self.rest(address.checked_add(bytes.len() as u64)?)?;
            let part = rest.bytes();
            self.spend(part.len().min(limit))?;
            match part.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    bytes.extend(part.iter().take(end));
                    return (bytes.len() <= limit).then_some(bytes);
                }
                None => bytes.extend(part),
            }
        }
        None
    }

    /// The bytes from `address` on, one after the other.
    pub(super) fn stream(&self, address: u64) -> Stream<'_, 'a> {
        Stream { pages: self, next: address, rest: None }
    }
}

/// What is left of a page.
pub(super) struct Rest {
    page: Rc<[u8]>,
    from: usize,
}

impl Rest {
    pub(super) fn bytes(&self) -> &[u8] {
        self.page.get(self.from..).unwrap_or_default()
    }
}

/// Bytes in order of address; ends where memory cannot be read.
pub(super) struct Stream<'p, 'a> {
    pages: &'p Pages<'a>,
    next: u64,
    rest: Option<Rest>,
}

impl Iterator for Stream<'_, '_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.rest.as_ref().is_none_or(|rest| rest.bytes().is_empty()) {
            self.rest = Some(self.pages.rest(self.next)?);
        }
        self.pages.spend(1)?;
        let rest = self.rest.as_mut()?;
        let byte = *rest.bytes().first()?;
        rest.from += 1;
        self.next = self.next.checked_add(1)?;
        Some(byte)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Bytes at an address, and nothing else.
    pub(in crate::golang) struct Flat {
        pub(in crate::golang) base: u64,
        pub(in crate::golang) bytes: Vec<u8>,
    }

    impl ReadMemory for Flat {
        fn read(&self, pieces: &mut [Piece<'_>]) {
            for piece in pieces {
                let from =
                    piece.address.checked_sub(self.base).and_then(|at| usize::try_from(at).ok());
                let there = from.and_then(|from| self.bytes.get(from..)).unwrap_or_default();
                piece.filled = there.len().min(piece.buffer.len());
                piece.buffer[..piece.filled].copy_from_slice(&there[..piece.filled]);
            }
        }
    }

    fn flat(length: usize) -> Flat {
        Flat { base: 0x1000, bytes: (0..length).map(|i| i as u8).collect() }
    }

    #[test]
    fn what_lies_across_pages_is_put_together() {
        let memory = flat(2 * PAGE + 3);
        let pages = Pages::new(&memory);
        assert_eq!(pages.bytes(0x1ffe, 4).unwrap(), [0xfe, 0xff, 0, 1]);
        assert_eq!(pages.word(0x1ffc), Some(u64::from_le_bytes([252, 253, 254, 255, 0, 1, 2, 3])));
        assert_eq!(pages.stream(0x2fff).take(9).collect::<Vec<_>>(), [0xff, 0, 1, 2]);
        assert_eq!(pages.terminated(0x1fff, 10), Some(vec![0xff]));
        assert_eq!(pages.terminated(0x1f01, 10), None);
    }

    #[test]
    fn what_is_not_there_is_none() {
        let memory = flat(PAGE);
        let pages = Pages::new(&memory);
        for address in [0, 0xfff, 0x1ff9, 0x2000, u64::MAX, u64::MAX - 7] {
            assert_eq!(pages.word(address), None, "{address:#x}");
        }
        assert_eq!(pages.bytes(0x1000, usize::MAX), None);
    }

    #[test]
    fn a_reading_is_bounded() {
        let memory = flat(0);
        let pages = Pages::new(&memory);
        pages.prefetch([(0, u64::MAX)]);
        assert!(pages.exhausted());
        assert_eq!(pages.word(0x1000), None);
    }
}
