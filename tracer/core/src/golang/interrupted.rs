//! Where a goroutine that runs was when the runtime last interrupted it.
//!
//! While a goroutine runs, what the runtime keeps of its registers means nothing. But whatever runs for 10 ms without a break is
//! interrupted (`forcePreemptNS` of runtime/proc.go), by a signal to its thread (runtime/preempt.go), and what the kernel saved for the
//! handler, registers and all, stays on the stack of the handler, `m.gsignal`, until the next signal comes.

use super::Place;
use super::elf::Machine as Processor;
use super::goroutines::{G, Status};
use super::layout::{G_STACK_HI, G_STACK_LO};
use super::machines::M;
use super::memory::Pages;
use super::pclntab::Functions;
use super::unwind::{Stack, Start, unwind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

/// The kernel puts the frame at the upper end of the handler's stack. It is as large as the processor's registers are: with AMX some
/// 11 KiB.
const SEARCHED: u64 = 16 << 10;

/// The runtime makes stacks of 32 KiB for its handlers (runtime/os_linux.go, `mpreinit`).
const MAX_STACK: u64 = 1 << 20;

/// So much of the goroutine's own stack is compared, innermost first.
const MAX_COMPARED: u64 = 16 << 10;

/// Of what its own functions have pointers to, so much is compared.
const POINTED_AT: usize = 256;

/// So many words of their frames are followed.
const MAX_POINTERS: usize = 256;

/// What a `select` with a default case calls (runtime/chan.go, runtime/select.go).
const POLLS: &[&str] = &["runtime.selectnbrecv", "runtime.selectnbsend", "runtime.selectgo"];

/// The function that the handler makes the goroutine call.
const INJECTED: &str = "runtime.asyncPreempt";
/// The function in which it then gives its thread back.
const YIELDS: &str = "runtime.asyncPreempt2";

/// A goroutine in the middle of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interrupted {
    /// The instruction that was next.
    pub pc: u64,
    /// Stands for its registers, its stack, and what its own functions have pointers to there. As long as it is the same at the same
    /// `pc`, the goroutine comes back to where it was with nothing changed, but perhaps other memory.
    pub state: u64,
}

/// Where `g`, which runs on `m`, was interrupted, and its calls. None unless that was the last time it left the thread: then it has
/// neither waited for anything nor asked the kernel for anything since.
pub(super) fn interrupted(
    pages: &Pages<'_>,
    place: &Place<'_>,
    functions: &Functions<'_, '_>,
    g: &G,
    m: &M,
) -> Option<(Interrupted, Stack)> {
    let processor = place.binary.processor;
    let runs = g.status == Some(Status::Running) && m.current == g.address;
    if !runs || g.start.in_syscall || !was_driven_out(pages, functions, processor, g.start.pc) {
        return None;
    }
    let saved = Saved::read(pages, processor, m.gsignal)?;
    if saved.goroutine() != g.address {
        return None;
    }
    let injected = functions.at(saved.pc).is_some_and(|f| &*f.name == INJECTED);
    let at = if injected { saved.before(pages)? } else { saved.now() };
    let start = Start {
        pc: at.pc,
        sp: at.sp,
        lr: at.lr,
        in_syscall: false,
        trapped: true,
        end: g.start.end,
    };
    let stack = unwind(pages, functions, processor, start);
    let own = Own::of(&stack, &at, &saved.registers)?;
    let mut state = DefaultHasher::new();
    own.registers.iter().for_each(|register| state.write_u64(*register));
    if own.innermost {
        state.write(&saved.floats);
    }
    let length = g.start.end.checked_sub(own.sp)?.min(MAX_COMPARED);
    let bytes = pages.bytes(own.sp, usize::try_from(length).ok()?)?;
    state.write(&bytes);
    let (words, _) = bytes.as_chunks::<8>();
    let own_words = usize::try_from(own.end.saturating_sub(own.sp) / 8).unwrap_or(0);
    let words =
        words.iter().take(own_words.min(MAX_POINTERS)).map(|word| u64::from_le_bytes(*word));
    let own_stack = g.low..g.start.end;
    // What registers hold that are not in use points into the runtime, where everything changes.
    for pointer in words.filter(|p| *p != g.address && !own_stack.contains(p)) {
        // Beside a variable of the program lie those of the runtime, which change all the time.
        let length = if place.holds_variables(pointer) { 8 } else { POINTED_AT };
        state.write(&pages.bytes(pointer, length).unwrap_or_default());
    }
    Some((Interrupted { pc: own.pc, state: state.finish() }, stack))
}

/// What belongs to the program where it was interrupted, and not to the runtime that it had called.
struct Own<'r> {
    pc: u64,
    sp: u64,
    /// Where the frames of the program end.
    end: u64,
    /// Whether the program's own code was interrupted: what it holds in registers is its own.
    innermost: bool,
    registers: &'r [u64],
}

impl<'r> Own<'r> {
    /// None in a function of the runtime, unless that is one which polls a channel. A function of Go keeps nothing in registers over
    /// a call (cmd/compile/abi-internal.md), so that all it knows is on the stack then.
    fn of(stack: &Stack, at: &Before, registers: &'r [u64]) -> Option<Own<'r>> {
        let is_runtime = |name: &str| name.starts_with("runtime.");
        let inside = stack.calls.iter().take_while(|call| is_runtime(&call.function.name)).count();
        let last = stack.calls.iter().rposition(|call| !is_runtime(&call.function.name))?;
        let end = stack.calls.get(last)?.arguments;
        let Some(called) = inside.checked_sub(1).and_then(|n| stack.calls.get(n)) else {
            return Some(Own { pc: at.pc, sp: at.sp, end, innermost: true, registers });
        };
        let polls = POLLS.contains(&&*called.function.name);
        let caller = stack.calls.get(inside).filter(|_| polls)?;
        Some(Own { pc: caller.pc, sp: called.arguments, end, innermost: false, registers: &[] })
    }
}

/// Whether a goroutine that left its thread at `pc` did so because it was told to: in the call that the handler made for it or, where
/// the handler may make none, at the beginning of the next function, which looks whether there is room on the stack. When the
/// goroutine runs again gogo (runtime/asm_amd64.s) clears what was saved of its stack, and leaves the pc.
fn was_driven_out(
    pages: &Pages<'_>,
    functions: &Functions<'_, '_>,
    processor: Processor,
    pc: u64,
) -> bool {
    let is = |pc: u64, name: &str| functions.at(pc).is_some_and(|f| f.name.starts_with(name));
    is(pc.wrapping_sub(1), YIELDS)
        || called(pages, processor, pc).is_some_and(|at| is(at, "runtime.morestack"))
}

/// What the call instruction before `pc` calls: CALL rel32 of amd64, BL imm26 of arm64.
fn called(pages: &Pages<'_>, processor: Processor, pc: u64) -> Option<u64> {
    match processor {
        Processor::Amd64 => {
            let is_call = pages.byte(pc.checked_sub(5)?)? == 0xe8;
            let distance = pages.half(pc.checked_sub(4)?)?.cast_signed();
            is_call.then_some(pc.wrapping_add_signed(distance.into()))
        }
        Processor::Arm64 => {
            let at = pc.checked_sub(4)?;
            let instruction = pages.half(at)?;
            let is_call = instruction >> 26 == 0b10_0101;
            let distance = i64::from((instruction << 6).cast_signed() >> 6) * 4;
            is_call.then_some(at.wrapping_add_signed(distance))
        }
    }
}

/// What the kernel saved for the handler of a signal.
struct Saved {
    processor: Processor,
    /// As the kernel orders them, without stack pointer and pc.
    registers: Vec<u64>,
    floats: Vec<u8>,
    sp: u64,
    pc: u64,
}

/// The registers of who was interrupted, with the injected call taken back.
struct Before {
    pc: u64,
    sp: u64,
    lr: u64,
}

impl Saved {
    /// The newest signal frame on the stack of `gsignal`. It is known by the words in which the kernel says what stack it uses
    /// (`ucontext.uc_stack`, sigaltstack(2)), which are those of the goroutine.
    fn read(pages: &Pages<'_>, processor: Processor, gsignal: u64) -> Option<Saved> {
        let word = |offset: u64| pages.word(gsignal.checked_add(offset)?);
        let (low, high) = (word(G_STACK_LO)?, word(G_STACK_HI)?);
        let size = high.checked_sub(low).filter(|size| (1..=MAX_STACK).contains(size))?;
        let searched = SEARCHED.min(size);
        let from = high - searched;
        pages.prefetch([(from, searched)]);
        let is_frame = |at: &u64| {
            pages.word(*at) == Some(low) && pages.word(at.wrapping_add(16)) == Some(size)
        };
        let places = (0..searched / 8).rev().map(|n| from + n * 8);
        let uc_stack = places.into_iter().find(is_frame)?;
        match processor {
            Processor::Amd64 => Saved::amd64(pages, uc_stack),
            Processor::Arm64 => Saved::arm64(pages, uc_stack),
        }
    }

    /// `ucontext` and `mcontext` of runtime/defs_linux_amd64.go: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip; six words
    /// later the address of what FXSAVE writes, with the XMM registers at 160.
    fn amd64(pages: &Pages<'_>, uc_stack: u64) -> Option<Saved> {
        let word = |index: u64| pages.word(uc_stack.checked_add(24 + 8 * index)?);
        let registers: Vec<u64> = (0..15).map(word).collect::<Option<_>>()?;
        let floats = word(23)?.checked_add(160)?;
        let floats = pages.bytes(floats, 16 * 16)?;
        Some(Saved { processor: Processor::Amd64, registers, floats, sp: word(15)?, pc: word(16)? })
    }

    /// `ucontext` and `sigcontext` of runtime/defs_linux_arm64.go: x0 to x30, sp, pc, pstate; then, aligned to 16, the kernel's
    /// `struct fpsimd_context` (arch/arm64/include/uapi/asm/sigcontext.h) with v0 to v31.
    fn arm64(pages: &Pages<'_>, uc_stack: u64) -> Option<Saved> {
        const FPSIMD_MAGIC: u32 = 0x4650_8001;
        let context = uc_stack.checked_add(160)?;
        let word = |index: u64| pages.word(context.checked_add(8 + 8 * index)?);
        let registers: Vec<u64> = (0..31).map(word).collect::<Option<_>>()?;
        let fpsimd = context.checked_add(288)?;
        let floats = fpsimd.checked_add(16)?;
        let floats = (pages.half(fpsimd)? == FPSIMD_MAGIC).then_some(floats)?;
        let floats = pages.bytes(floats, 32 * 16)?;
        Some(Saved { processor: Processor::Arm64, registers, floats, sp: word(31)?, pc: word(32)? })
    }

    /// Go's compiler keeps the goroutine in r14 and in x28 (cmd/compile/abi-internal.md).
    fn goroutine(&self) -> u64 {
        let index = match self.processor {
            Processor::Amd64 => 6,
            Processor::Arm64 => 28,
        };
        self.registers.get(index).copied().unwrap_or(0)
    }

    /// Nothing was injected.
    fn now(&self) -> Before {
        let lr = match self.processor {
            Processor::Amd64 => 0,
            Processor::Arm64 => self.registers.get(30).copied().unwrap_or(0),
        };
        Before { pc: self.pc, sp: self.sp, lr }
    }

    /// `pushCall` of runtime/signal_amd64.go and runtime/signal_arm64.go.
    fn before(&self, pages: &Pages<'_>) -> Option<Before> {
        let pushed = pages.word(self.sp)?;
        match self.processor {
            Processor::Amd64 => Some(Before { pc: pushed, sp: self.sp.checked_add(8)?, lr: 0 }),
            Processor::Arm64 => Some(Before {
                pc: self.registers.get(30).copied()?,
                sp: self.sp.checked_add(16)?,
                lr: pushed,
            }),
        }
    }
}
