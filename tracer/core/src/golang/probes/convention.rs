//! Where Go's calling convention puts parameters and results (src/cmd/compile/abi-internal.md, "Function call argument and result
//! passing").

use super::recipe::Start;
use crate::golang::Processor;

/// The registers for integers and pointers in their order, and the register of the goroutine (`g`) last. Names are those of the
/// processor's manual; on aarch64 the number is that of `user_pt_regs.regs`.
pub fn registers(processor: Processor) -> (&'static [&'static str], &'static str) {
    match processor {
        Processor::Amd64 => (&["rax", "rbx", "rcx", "rdi", "rsi", "r8", "r9", "r10", "r11"], "r14"),
        Processor::Arm64 => (
            &[
                "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
                "x13", "x14", "x15",
            ],
            "x28",
        ),
    }
}

/// A parameter or a result, none of it a floating-point number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Registers that it takes; none for what has an array of more than one element in it, which is passed in memory.
    pub(super) words: Option<u8>,
    /// What it takes in memory.
    pub(super) bytes: u16,
}

/// What is made of whole words.
pub(super) const fn words(words: u8) -> Slot {
    Slot { words: Some(words), bytes: words as u16 * 8 }
}

pub(super) const POINTER: Slot = words(1);
pub(super) const NUMBER: Slot = words(1);
pub(super) const TEXT: Slot = words(2);
pub(super) const INTERFACE: Slot = words(2);
pub(super) const SLICE: Slot = words(3);

/// On the stack, what is passed in memory begins behind the return address: amd64's call pushes it, and arm64 leaves its place free.
const FIRST: u16 = 8;

/// Where each parameter is at the entry, and each result at the return.
pub(super) fn places(
    processor: Processor,
    parameters: &[Slot],
    results: &[Slot],
) -> (Vec<Start>, Vec<Start>) {
    let (registers, _) = registers(processor);
    let mut stack = FIRST;
    let parameters = assign(registers.len(), parameters, &mut stack);
    let results = assign(registers.len(), results, &mut stack);
    (parameters, results)
}

/// Each in turn takes registers if it fits into those that are left, all of it, and otherwise memory.
fn assign(registers: usize, slots: &[Slot], stack: &mut u16) -> Vec<Start> {
    let mut used: u8 = 0;
    let place = |slot: &Slot| match slot.words {
        Some(words) if usize::from(used + words) <= registers => {
            let first = used;
            used += words;
            Start::Register(first)
        }
        _ => {
            // A type of smaller alignment is passed only as the first in memory.
            let at = stack.next_multiple_of(8);
            *stack = at.saturating_add(slot.bytes);
            Start::Stack(at)
        }
    };
    slots.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Start::{Register, Stack};

    #[test]
    fn what_fits_is_in_registers_and_the_rest_in_memory() {
        // codehost.run(ctx, RunArgs): eleven words do not fit into the seven registers that are left.
        let run = [INTERFACE, words(11)];
        let results = [SLICE, INTERFACE];
        let (parameters, returned) = places(Processor::Amd64, &run, &results);
        assert_eq!(parameters, [Register(0), Stack(8)]);
        assert_eq!(returned, [Register(0), Register(3)]);
        let (parameters, _) = places(Processor::Arm64, &run, &results);
        assert_eq!(parameters, [Register(0), Register(2)]);
    }

    #[test]
    fn a_smaller_one_may_still_take_the_registers_that_a_larger_one_left() {
        let array = Slot { words: None, bytes: 260 };
        let slots = [words(8), TEXT, POINTER, array, POINTER];
        let (parameters, returned) = places(Processor::Amd64, &slots, &[words(10), TEXT]);
        assert_eq!(parameters, [Register(0), Stack(8), Register(8), Stack(24), Stack(288)]);
        assert_eq!(returned, [Stack(296), Register(0)]);
    }
}
