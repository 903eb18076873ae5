//! Where functions are, from the table that every Go program has, with symbols or without (runtime/symtab.go).

use super::image::Image;
use crate::golang::module::Module;
use object::read::ReadRef;
use std::collections::HashMap;
use std::ops::Range;

/// Longer than the name of any function that is looked for, bytes.
const MAX_NAME: usize = 128;

/// How often a name was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// The addresses of its instructions, padding behind them among them.
    Once(Range<u64>),
    /// More than one function has this name.
    Twice,
}

/// All functions with one of these names.
pub(super) fn find<'n, 'd, R: ReadRef<'d>>(
    image: &Image<'d, R>,
    module: &Module,
    names: impl IntoIterator<Item = &'n str>,
) -> HashMap<&'n str, Found> {
    let wanted: HashMap<&[u8], &str> =
        names.into_iter().map(|name| (name.as_bytes(), name)).collect();
    let table = image.from(module.ftab).unwrap_or_default();
    let (entries, _) = table.as_chunks::<8>();
    let length = usize::try_from(module.ftab_length).unwrap_or(usize::MAX);
    let mut found = HashMap::new();
    // The last entry only ends the one before it.
    for pair in entries.get(..=length).unwrap_or_default().windows(2) {
        let [this, next] = pair else { continue };
        let Some(name) = name(image, module, *this).and_then(|name| wanted.get(name)) else {
            continue;
        };
        let range = address(module, *this)..address(module, *next);
        let place = found.entry(*name).or_insert(Found::Once(range.clone()));
        if *place != Found::Once(range) {
            *place = Found::Twice;
        }
    }
    found
}

/// An entry of the table: where the function begins, counted from the beginning of the text, and where its description is.
fn halves(entry: [u8; 8]) -> (u32, u32) {
    let entry = u64::from_le_bytes(entry);
    (entry as u32, (entry >> 32) as u32)
}

fn address(module: &Module, entry: [u8; 8]) -> u64 {
    module.text.wrapping_add(u64::from(halves(entry).0))
}

/// Its name: the description repeats where the function begins, and then says where its name is.
fn name<'d, R: ReadRef<'d>>(
    image: &Image<'d, R>,
    module: &Module,
    entry: [u8; 8],
) -> Option<&'d [u8]> {
    let (begins, at) = halves(entry);
    let description = image.from(module.functions.checked_add(u64::from(at))?)?;
    let (repeated, name) = halves(*description.first_chunk()?);
    (repeated == begins).then_some(())?;
    let name = image.from(module.names.checked_add(u64::from(name))?)?;
    let name = name.get(..MAX_NAME.min(name.len()))?;
    name.split(|byte| *byte == 0).next().filter(|found| found.len() < name.len())
}
