//! The instructions by which a function returns. A breakpoint in the middle of one, or on data, would break the program, so a function
//! is taken only as a whole: every byte of it has to be understood.

use super::Why;
use crate::golang::Processor;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use std::collections::HashSet;
use std::ops::Range;

/// The longest function that is looked at, bytes; `dialConn` has 14,000.
const MAX_CODE: usize = 256 << 10;

/// How far behind the function's first instruction each one is, in order.
pub(super) fn returns(
    processor: Processor,
    code: &[u8],
    range: &Range<u64>,
) -> Result<Vec<u64>, Why> {
    if code.is_empty() || code.len() > MAX_CODE {
        return Err(Why::Size(code.len()));
    }
    let returns = match processor {
        Processor::Amd64 => amd64(code, range),
        Processor::Arm64 => arm64(code, range),
    }?;
    if returns.is_empty() { Err(Why::NeverReturns) } else { Ok(returns) }
}

fn amd64(code: &[u8], range: &Range<u64>) -> Result<Vec<u64>, Why> {
    let mut returns = Vec::new();
    for instruction in Decoder::with_ip(64, code, range.start, DecoderOptions::NONE).iter() {
        let at = instruction.ip().wrapping_sub(range.start);
        if instruction.code() == Code::Retnq {
            returns.push(at);
        } else if instruction.is_invalid() || leaves_strangely(&instruction) {
            return Err(Why::Unclear(at));
        } else if jumps_away(&instruction, range) {
            return Err(Why::JumpsAway(at));
        }
    }
    Ok(returns)
}

/// By a return that Go does not use.
fn leaves_strangely(instruction: &Instruction) -> bool {
    use Mnemonic::{Iret, Iretd, Iretq, Ret, Retf, Sysexit, Sysexitq, Sysret, Sysretq};
    let strange = [Iret, Iretd, Iretq, Ret, Retf, Sysexit, Sysexitq, Sysret, Sysretq];
    strange.contains(&instruction.mnemonic())
}

fn jumps_away(instruction: &Instruction, range: &Range<u64>) -> bool {
    let target = instruction.near_branch_target();
    match (instruction.mnemonic(), instruction.op0_kind()) {
        (Mnemonic::Call, _) => false,
        (_, OpKind::NearBranch64) => !range.contains(&target),
        (mnemonic, _) => mnemonic == Mnemonic::Jmp && !is_switch(instruction),
    }
}

/// A jump through a table, as the compiler makes it of a switch: `JMP (table)(index*8)` (OpAMD64JUMPTABLE in
/// cmd/compile/internal/amd64/ssa.go). The calls that it turns into jumps go through a register.
fn is_switch(jump: &Instruction) -> bool {
    jump.code() == Code::Jmp_rm64
        && jump.op0_kind() == OpKind::Memory
        && jump.memory_index() != Register::None
        && jump.memory_index_scale() == 8
}

/// Instructions of the Arm architecture reference manual (C4.1), of fixed size. Only those that leave a function, or load from behind
/// it, need be told from others.
fn arm64(code: &[u8], range: &Range<u64>) -> Result<Vec<u64>, Why> {
    const RET: u32 = 0xd65f_03c0;
    let (words, rest) = code.as_chunks::<4>();
    if !rest.is_empty() || !range.start.is_multiple_of(4) {
        return Err(Why::Unclear(0));
    }
    let (mut returns, mut constants, mut before) = (Vec::new(), HashSet::new(), 0);
    for (at, word) in (0..).step_by(4).zip(words) {
        let word = u32::from_le_bytes(*word);
        if word == RET {
            returns.push(at);
        } else if is_indirect(word) && !is_table(before, word) {
            return Err(Why::JumpsAway(at));
        } else if let Some(distance) = branch(word) {
            let target = range.start.wrapping_add(at).wrapping_add_signed(distance);
            if !range.contains(&target) {
                return Err(Why::JumpsAway(at));
            }
        } else if let Some((distance, size)) = literal(word) {
            let constant = at.wrapping_add_signed(distance);
            constants.extend((0..size).step_by(4).map(|part| constant.wrapping_add(part)));
        }
        before = word;
    }
    // A constant between instructions that looks like one.
    match returns.iter().find(|at| constants.contains(*at)) {
        Some(at) => Err(Why::Unclear(*at)),
        None => Ok(returns),
    }
}

/// BR and the other ways to jump to what a register holds, but for calls (BLR).
fn is_indirect(word: u32) -> bool {
    word & 0xfe00_0000 == 0xd600_0000 && (word >> 21) & 0xf != 1
}

/// A jump through a table: `LDR Xt, [Xn, Xm, LSL #3]`, then `BR Xt` (OpARM64JUMPTABLE in cmd/compile/internal/arm64/ssa.go).
fn is_table(before: u32, word: u32) -> bool {
    let load = before & 0xffe0_fc00 == 0xf860_7800;
    load && word & 0xffff_fc1f == 0xd61f_0000 && before & 0x1f == (word >> 5) & 0x1f
}

/// How far B, B.cond, CBZ, CBNZ, TBZ and TBNZ jump, bytes.
fn branch(word: u32) -> Option<i64> {
    if word & 0xfc00_0000 == 0x1400_0000 {
        Some(signed(word, 0, 26))
    } else if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        Some(signed(word, 5, 19))
    } else if word & 0x7e00_0000 == 0x3600_0000 {
        Some(signed(word, 5, 14))
    } else {
        None
    }
}

/// How far away LDR (literal) loads from, and how much, bytes.
fn literal(word: u32) -> Option<(i64, u64)> {
    let vector = word & 0x0400_0000 != 0;
    let size = match (word >> 30, vector) {
        (0, _) | (2, false) => 4,
        (1, _) => 8,
        (2, true) => 16,
        // A hint to fetch, which loads nothing.
        _ => 0,
    };
    (word & 0x3b00_0000 == 0x1800_0000).then(|| (signed(word, 5, 19), size))
}

/// `bits` bits from bit `from` on are a signed number of words.
fn signed(word: u32, from: u32, bits: u32) -> i64 {
    let moved = (word << (32 - from - bits)).cast_signed() >> (32 - bits);
    i64::from(moved) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range<u64> = 0x1000..0x2000;

    fn x86(code: &[u8]) -> Result<Vec<u64>, Why> {
        returns(Processor::Amd64, code, &(0x1000..0x1000 + code.len() as u64))
    }

    fn arm(words: &[u32]) -> Result<Vec<u64>, Why> {
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        returns(Processor::Arm64, &code, &(0x1000..0x1000 + code.len() as u64))
    }

    #[test]
    fn a_byte_that_is_part_of_another_instruction_is_no_return() {
        // mov eax, 0xc3c3c3c3; ret; int3
        assert_eq!(x86(&[0xb8, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3, 0xcc]), Ok(vec![5]));
    }

    #[test]
    fn on_x86_what_leaves_otherwise_is_refused() {
        // jmp rax; jmp +0x100; ret 8; an opcode that does not exist; a call that never comes back.
        assert_eq!(x86(&[0xff, 0xe0, 0xc3]), Err(Why::JumpsAway(0)));
        assert_eq!(x86(&[0xe9, 0, 1, 0, 0, 0xc3]), Err(Why::JumpsAway(0)));
        assert_eq!(x86(&[0xc2, 8, 0]), Err(Why::Unclear(0)));
        assert_eq!(x86(&[0xc3, 0x06]), Err(Why::Unclear(1)));
        assert_eq!(x86(&[0xe8, 0, 0, 0, 0, 0xcc]), Err(Why::NeverReturns));
        assert_eq!(x86(&[]), Err(Why::Size(0)));
        assert_eq!(x86(&[0x90; MAX_CODE + 1]), Err(Why::Size(MAX_CODE + 1)));
    }

    #[test]
    fn on_x86_a_switch_and_a_loop_stay_inside() {
        // jmp [rcx+rax*8]; jmp -5; ret
        assert_eq!(x86(&[0xff, 0x24, 0xc1, 0xeb, 0xfb, 0xc3]), Ok(vec![5]));
    }

    #[test]
    fn on_arm_what_leaves_otherwise_is_refused() {
        const RET: u32 = 0xd65f_03c0;
        assert_eq!(arm(&[0xd503_201f, RET, RET]), Ok(vec![4, 8]));
        // b +8 stays, b +0x100 and b -4 do not; so cbz x0, tbz, b.eq.
        assert_eq!(arm(&[0x1400_0002, 0, RET]), Ok(vec![8]));
        assert_eq!(arm(&[0x1400_0040, RET]), Err(Why::JumpsAway(0)));
        assert_eq!(arm(&[0x17ff_ffff, RET]), Err(Why::JumpsAway(0)));
        assert_eq!(arm(&[RET, 0xb400_0040]), Err(Why::JumpsAway(4)));
        assert_eq!(arm(&[RET, 0x3600_0040]), Err(Why::JumpsAway(4)));
        assert_eq!(arm(&[RET, 0x5400_0040]), Err(Why::JumpsAway(4)));
        // br x27, and br x27 behind ldr x27, [x0, x1, lsl #3].
        assert_eq!(arm(&[0xd61f_0360, RET]), Err(Why::JumpsAway(0)));
        assert_eq!(arm(&[0xf861_781b, 0xd61f_0360, RET]), Ok(vec![8]));
        // blr x1; ret x1
        assert_eq!(arm(&[0xd63f_0020, RET]), Ok(vec![4]));
        assert_eq!(arm(&[0xd65f_0020, RET]), Err(Why::JumpsAway(0)));
    }

    #[test]
    fn on_arm_a_constant_that_looks_like_a_return_is_not_touched() {
        const RET: u32 = 0xd65f_03c0;
        // ldr x0, +8; ret; the constant.
        assert_eq!(arm(&[0x5800_0040, RET, RET]), Err(Why::Unclear(8)));
        assert_eq!(arm(&[0x5800_0040, RET, 7, RET]), Err(Why::Unclear(12)));
        assert_eq!(returns(Processor::Arm64, &[0; 6], &RANGE), Err(Why::Unclear(0)));
    }
}
