//! The instruction of a function that is probed, beside those by which it returns.

use super::Why;
use crate::golang::Processor;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use std::collections::HashSet;

/// So many instructions are looked at; the longest check of a stack, that of a huge frame, has five.
const LONGEST_CHECK: usize = 8;
/// Where the first method is in the table of an interface (`Fun` of `ITab` in src/internal/abi/iface.go), bytes.
const FIRST_METHOD: u64 = 24;

/// Where a function is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// Where it begins. On x86 behind the check whether the stack is large enough (stacksplit in cmd/internal/obj/x86/obj6.go): what is
    /// before that runs again when the stack has grown. Mostly that is `PUSHQ BP`, which the kernel emulates (push_setup_insn in
    /// arch/x86/kernel/uprobes.c); a compare it has to step over, which takes three times as long.
    Beginning,
    /// Where it calls the first method of an interface, and no other.
    MethodCall,
}

impl Site {
    /// How far behind the function's first instruction it is, bytes.
    pub(super) fn find(self, processor: Processor, code: &[u8]) -> Result<u64, Why> {
        let calls = match (self, processor) {
            (Self::Beginning, Processor::Amd64) => return Ok(behind_check(code).unwrap_or(0)),
            (Self::Beginning, Processor::Arm64) => return Ok(0),
            (Self::MethodCall, Processor::Amd64) => amd64_method_calls(code),
            (Self::MethodCall, Processor::Arm64) => arm64_method_calls(code),
        };
        match calls[..] {
            [call] => Ok(call),
            _ => Err(Why::Calls(calls.len())),
        }
    }
}

fn instructions(code: &[u8]) -> impl Iterator<Item = Instruction> {
    Decoder::with_ip(64, code, 0, DecoderOptions::NONE).into_iter()
}

fn behind_check(code: &[u8]) -> Option<u64> {
    let mut checked = false;
    for instruction in instructions(code).take(LONGEST_CHECK) {
        match (is_branch(&instruction), is_of_check(&instruction)) {
            (true, _) => checked = true,
            (false, true) => {}
            (false, false) => return checked.then(|| instruction.ip()),
        }
    }
    None
}

/// `CMPQ SP, 16(R14)`; for a large frame `LEAQ -frame(SP), R12` and the same of R12; for a huge one `MOVQ SP, R12; SUBQ $frame, R12`
/// and a branch before that.
fn is_of_check(instruction: &Instruction) -> bool {
    use Mnemonic::{Cmp, Lea, Mov, Sub};
    match instruction.mnemonic() {
        Cmp => instruction.memory_base() == Register::R14,
        Lea | Mov | Sub => instruction.op0_register() == Register::R12,
        _ => false,
    }
}

/// Whether it is a jump that depends on a compare.
fn is_branch(instruction: &Instruction) -> bool {
    let always = matches!(instruction.mnemonic(), Mnemonic::Jmp | Mnemonic::Call);
    instruction.op0_kind() == OpKind::NearBranch64 && !always
}

/// `MOVQ 24(itab), Rx`, and later `CALL Rx`. A function value is loaded from its first word instead.
fn amd64_method_calls(code: &[u8]) -> Vec<u64> {
    let (mut methods, mut calls) = (HashSet::new(), Vec::new());
    for instruction in instructions(code) {
        let register = instruction.op0_register();
        if register == Register::None {
            continue;
        }
        if instruction.mnemonic() == Mnemonic::Call {
            calls.extend(methods.contains(&register).then(|| instruction.ip()));
        } else if loads_method(&instruction) {
            methods.insert(register);
        } else {
            methods.remove(&register);
        }
    }
    calls
}

fn loads_method(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_index() == Register::None
        && instruction.memory_displacement64() == FIRST_METHOD
        && !matches!(instruction.memory_base(), Register::RSP | Register::RBP)
}

/// `LDR Xt, [Xn, #24]`, and later `BLR Xt` (Arm architecture reference manual, C6.2).
fn arm64_method_calls(code: &[u8]) -> Vec<u64> {
    let (mut methods, mut calls) = (HashSet::new(), Vec::new());
    let (words, _) = code.as_chunks::<4>();
    for (at, word) in (0..).step_by(4).zip(words) {
        let word = u32::from_le_bytes(*word);
        let from_stack = (word >> 5) & 0x1f == 31;
        if word & 0xffff_fc1f == 0xd63f_0000 {
            calls.extend(methods.contains(&((word >> 5) & 0x1f)).then_some(at));
        } else if word & 0xffff_fc00 == 0xf940_0c00 && !from_stack {
            methods.insert(word & 0x1f);
        } else {
            // What is written to lies there in nearly all instructions; where it does not, nothing is lost but a call.
            methods.remove(&(word & 0x1f));
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(code: &[u8]) -> u64 {
        Site::Beginning.find(Processor::Amd64, code).unwrap()
    }

    #[test]
    fn on_x86_a_function_begins_behind_the_check_of_its_stack() {
        // CMPQ SP, 16(R14); JBE; PUSHQ BP
        assert_eq!(begins(&[0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x55, 0xc3]), 6);
        // LEAQ -0x60(SP), R12; CMPQ R12, 16(R14); JBE; PUSHQ BP
        let large = [0x4c, 0x8d, 0x64, 0x24, 0xa0, 0x4d, 0x3b, 0x66, 0x10];
        assert_eq!(begins(&[&large[..], &[0x0f, 0x86, 0, 1, 0, 0, 0x55]].concat()), 15);
        // MOVQ SP, R12; SUBQ $0x10000, R12; JCS; CMPQ R12, 16(R14); JBE; SUBQ $0x10000, SP
        let huge = [0x49, 0x89, 0xe4, 0x49, 0x81, 0xec, 0, 0, 1, 0, 0x72, 0x20];
        let check = [0x4d, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x48, 0x81, 0xec, 0, 0, 1, 0];
        assert_eq!(begins(&[&huge[..], &check].concat()), 18);
    }

    #[test]
    fn without_a_check_it_begins_at_its_first_instruction() {
        // PUSHQ BP; a compare of a parameter and a branch; nothing at all.
        assert_eq!(begins(&[0x55, 0xc3]), 0);
        assert_eq!(begins(&[0x48, 0x83, 0xf8, 0x01, 0x76, 0x20, 0x55]), 0);
        assert_eq!(begins(&[]), 0);
        assert_eq!(Site::Beginning.find(Processor::Arm64, &[0x90, 0x0b, 0x40, 0xf9]), Ok(0));
    }

    #[test]
    fn a_call_of_a_method_is_told_from_one_of_a_function_value() {
        let x86 = |code: &[u8]| Site::MethodCall.find(Processor::Amd64, code);
        // MOVQ 0(DX), SI; CALL SI
        let value = [0x48, 0x8b, 0x32, 0xff, 0xd6];
        assert_eq!(x86(&value), Err(Why::Calls(0)));
        // MOVQ 24(R8), SI; MOVQ 0(DX), BX; CALL SI
        let method = [0x49, 0x8b, 0x70, 0x18, 0x48, 0x8b, 0x1a, 0xff, 0xd6];
        assert_eq!(x86(&[&value[..], &method, &value].concat()), Ok(12));
        assert_eq!(x86(&[method, method].concat()), Err(Why::Calls(2)));
        // MOVQ 24(SP), SI; CALL SI
        assert_eq!(x86(&[0x48, 0x8b, 0x74, 0x24, 0x18, 0xff, 0xd6]), Err(Why::Calls(0)));
        // MOVD 24(R2), R5; MOVD R1, R0; CALL (R5)
        let words = [0xf940_0c45u32, 0xaa01_03e0, 0xd63f_00a0];
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(Site::MethodCall.find(Processor::Arm64, &code), Ok(8));
    }
}
