//! Names of wait reasons, out of the program itself: their numbers change from release to release.

use super::Place;
use super::arguments::string;
use super::memory::Pages;
use super::module::words;

/// `runtime.waitReasonStrings` begins with these in every release; the first is the empty one.
const BEGINS: [&str; 3] = ["", "GC assist marking", "IO wait"];

/// More reasons than any release has.
const MAX_REASONS: u64 = 64;

/// The names by number; empty where they are not found.
pub(super) fn names(pages: &Pages<'_>, place: &Place<'_>) -> Vec<String> {
    let known = place.wait_reasons().filter(|at| is_table(pages, *at));
    let table = known.or_else(|| {
        let areas = place.data();
        let mut hits = areas.iter().flat_map(|area| words(pages, *area));
        hits.find_map(|(at, length)| {
            // The length of the second name, at the fourth word.
            let table = at.checked_sub(24).filter(|_| length == BEGINS[1].len() as u64)?;
            is_table(pages, table).then_some(table)
        })
    });
    let Some(table) = table else { return Vec::new() };
    let names = (0..MAX_REASONS).map_while(|index| name(pages, table, index));
    names.take_while(|name| name.len() < 64).collect()
}

fn is_table(pages: &Pages<'_>, at: u64) -> bool {
    let names = BEGINS.iter().zip(0..);
    names.into_iter().all(|(expected, index)| name(pages, at, index).as_deref() == Some(expected))
}

fn name(pages: &Pages<'_>, table: u64, index: u64) -> Option<String> {
    let at = table.checked_add(index * 16)?;
    let length = pages.word(at.checked_add(8)?).filter(|length| *length < 64)?;
    string(pages, pages.word(at)?, length)
}
