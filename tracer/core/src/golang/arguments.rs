//! The arguments of a call, as far as they are known to hold their values (runtime/traceback.go, `printArgs`).

use super::memory::Pages;
use super::pclntab::Functions;
use super::unwind::Call;

/// The runtime describes ten words at most (`traceArgsLimit`).
pub(super) const MAX_WORDS: usize = 10;

/// The longest string that is read, bytes.
pub(super) const MAX_STRING: usize = 4096;

/// The words of the arguments in order; strings are two of them, slices three. None for a word that the compiler does not vouch for at
/// this point of the function: it may be anything.
pub(super) fn words(
    pages: &Pages<'_>,
    functions: &Functions<'_, '_>,
    call: &Call,
) -> Vec<Option<u64>> {
    let mut words = Vec::new();
    let Some(info) = functions.arg_info(&call.function) else { return words };
    let liveness = functions.arg_liveness(&call.function, call.pc);
    let mut slot = 0;
    let mut bytes = pages.stream(info);
    while let Some(code) = bytes.next().filter(|_| words.len() < MAX_WORDS) {
        match code {
            0xff => break,
            // An aggregate begins, ends.
            0xfe | 0xfd => {}
            // More of it is not described: the order of words is lost from here on.
            0xfc => break,
            // Too far away to be described.
            0xfb => words.push(None),
            offset => {
                let Some(size) = bytes.next() else { break };
                let live = liveness
                    .is_none_or(|(from, bitmap)| offset < from || is_set(pages, bitmap, slot));
                if liveness.is_some_and(|(from, _)| offset >= from) {
                    slot += 1;
                }
                let word = pages.word(call.arguments.wrapping_add(u64::from(offset)));
                words.push(word.filter(|_| live).and_then(|word| cut(word, size)));
            }
        }
    }
    words
}

fn is_set(pages: &Pages<'_>, bitmap: u64, slot: u64) -> bool {
    let byte = pages.byte(bitmap.wrapping_add(slot / 8)).unwrap_or(0);
    byte & (1 << (slot % 8)) != 0
}

/// The low `size` bytes of a word.
fn cut(word: u64, size: u8) -> Option<u64> {
    match size {
        8 => Some(word),
        1..8 => Some(word & ((1 << (8 * u32::from(size))) - 1)),
        _ => None,
    }
}

/// The string whose pointer and length these are: text of at most [`MAX_STRING`] bytes. What is longer is cut.
pub(super) fn string(pages: &Pages<'_>, pointer: u64, length: u64) -> Option<String> {
    if length == 0 {
        return Some(String::new());
    }
    // A length that no string of a program has: this is no string.
    if length > 1 << 30 || pointer < 4096 {
        return None;
    }
    let wanted = usize::try_from(length).ok()?.min(MAX_STRING);
    let bytes = pages.bytes(pointer, wanted)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Some(text.to_owned()),
        // Cut in the middle of a character.
        Err(error) if wanted < length as usize && error.error_len().is_none() => {
            Some(String::from_utf8_lossy(bytes.get(..error.valid_up_to())?).into_owned())
        }
        Err(_) => None,
    }
}

/// The string header at `address`.
pub(super) fn string_at(pages: &Pages<'_>, address: u64) -> Option<String> {
    string(pages, pages.word(address)?, pages.word(address.checked_add(8)?)?)
}

/// The slice of strings at `address`, at most `limit` of them.
pub(super) fn strings_at(pages: &Pages<'_>, address: u64, limit: u64) -> Option<Vec<String>> {
    let first = pages.word(address)?;
    let length = pages.word(address.checked_add(8)?)?.min(limit);
    (0..length).map(|index| string_at(pages, first.checked_add(index * 16)?)).collect()
}
