//! Go's own table of contents in memory: `runtime.moduledata`, and where it and other variables are in a program without symbols.

use super::elf::Area;
use super::layout::Layout;
use super::memory::Pages;
use super::{Place, Unreadable};

/// The most of a data section that is searched, bytes.
const MAX_SEARCH: u64 = 32 << 20;

/// The tables of functions. All addresses are those of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) names: u64,
    pub(super) pctab: u64,
    pub(super) functions: u64,
    pub(super) ftab: u64,
    pub(super) ftab_length: u64,
    pub(super) minpc: u64,
    pub(super) maxpc: u64,
    pub(super) text: u64,
    pub(super) gofunc: u64,
    /// Where types and their names begin; who reads goroutines needs none of it.
    pub(super) types: Option<u64>,
    /// Of an instruction, bytes (the `minLC` of a pclntab).
    pub(super) quantum: u64,
}

/// No program has more functions.
const MAX_FUNCTIONS: u64 = 1 << 23;

impl Module {
    /// Finds the pclntab, and by it the module data.
    pub(super) fn find(
        pages: &Pages<'_>,
        place: &Place<'_>,
        layout: &Layout,
    ) -> Result<Module, Unreadable> {
        let magic = Magic { first: layout.pclntab_magic, quantum: place.quantum() };
        if let Some(pclntab) = place.pclntab() {
            if !magic.is_at(pages, pclntab) {
                return Err(Unreadable::new("its pclntab is not of the form that its version has"));
            }
            let module = of_pclntab(pages, pclntab, place, layout);
            return module.ok_or_else(|| Unreadable::new("its table of functions was not found"));
        }
        // The system's linker puts the pclntab of a program that may be loaded anywhere together with other data.
        let areas = place.data();
        let mut places = areas.iter().flat_map(|area| words(pages, *area));
        let module = places.find_map(|(at, word)| {
            (word == magic.word()).then(|| of_pclntab(pages, at, place, layout)).flatten()
        });
        module.ok_or_else(|| Unreadable::new("its pclntab was not found"))
    }
}

/// What a pclntab begins with: the number of its form, two zeros, the smallest instruction's size, that of a pointer.
struct Magic {
    first: u32,
    quantum: u64,
}

impl Magic {
    fn word(&self) -> u64 {
        u64::from(self.first) | self.quantum << 48 | 8 << 56
    }

    fn is_at(&self, pages: &Pages<'_>, at: u64) -> bool {
        pages.word(at) == Some(self.word())
    }
}

/// By its symbol or section, or else by the pointer to the pclntab that it begins with.
fn of_pclntab(
    pages: &Pages<'_>,
    pclntab: u64,
    place: &Place<'_>,
    layout: &Layout,
) -> Option<Module> {
    let known = place.module().and_then(|at| read(pages, at, pclntab, layout, place));
    known.or_else(|| {
        let areas = place.data();
        let mut hits = areas.iter().flat_map(|area| words(pages, *area));
        hits.find_map(|(at, word)| {
            (word == pclntab).then(|| read(pages, at, pclntab, layout, place)).flatten()
        })
    })
}

/// The moduledata at `at`, if it is one.
fn read(
    pages: &Pages<'_>,
    at: u64,
    pclntab: u64,
    layout: &Layout,
    place: &Place<'_>,
) -> Option<Module> {
    let word = |offset: u64| pages.word(at.checked_add(offset)?);
    let module = Module {
        names: word(8)?,
        pctab: word(80)?,
        functions: word(104)?,
        ftab: word(128)?,
        // The last entry only ends the one before it.
        ftab_length: word(136)?.checked_sub(1)?,
        minpc: word(160)?,
        maxpc: word(168)?,
        text: word(176)?,
        gofunc: word(layout.module_gofunc)?,
        types: word(layout.module_types),
        quantum: place.quantum(),
    };
    let sane = word(0)? == pclntab
        && module.minpc < module.maxpc
        && module.text <= module.minpc
        && (1..MAX_FUNCTIONS).contains(&module.ftab_length)
        && place.holds_code(module.minpc)
        && [module.names, module.pctab, module.functions, module.ftab]
            .iter()
            .all(|table| *table >= pclntab && place.is_loaded(*table))
        && place.is_loaded(module.gofunc);
    sane.then_some(module)
}

/// The 64-bit words of an area of memory and their addresses, what cannot be read left out.
pub(super) fn words<'p>(pages: &'p Pages<'_>, area: Area) -> impl Iterator<Item = (u64, u64)> + 'p {
    let first = area.address.checked_next_multiple_of(8).unwrap_or(u64::MAX);
    let end = area.address.saturating_add(area.size.min(MAX_SEARCH));
    pages.prefetch([(first, end.saturating_sub(first))]);
    let mut next = first;
    let pieces = std::iter::from_fn(move || {
        let at = Some(next).filter(|at| *at < end)?;
        next = pages.after(at)?;
        Some((at, pages.rest(at)))
    });
    pieces.filter_map(|(at, rest)| Some((at, rest?))).flat_map(move |(at, rest)| {
        let (words, _) = rest.bytes().as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let words: Vec<_> =
            (0..).map(|index: u64| at.saturating_add(index * 8)).zip(words).collect();
        words.into_iter().take_while(move |(at, _)| *at < end)
    })
}
