//! The calls on a goroutine's stack, innermost first (runtime/traceback.go, `unwinder`).

use super::elf::Machine;
use super::memory::Pages;
use super::pclntab::{Function, Functions};
use std::rc::Rc;

/// The most frames of one stack that are followed; as many as the runtime prints.
pub(super) const MAX_FRAMES: usize = 100;

/// Where a stack begins to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) pc: u64,
    pub(super) sp: u64,
    /// The return address that is not on the stack yet (arm64).
    pub(super) lr: u64,
    /// Whether pc and sp were saved on the way into a system call.
    pub(super) in_syscall: bool,
    /// Whether a signal interrupted it there.
    pub(super) trapped: bool,
    /// The stack's upper end.
    pub(super) end: u64,
}

/// A call that is in progress.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) function: Rc<Function>,
    /// An address inside of the instruction that called, so that tables speak of the call.
    pub(super) pc: u64,
    /// Where the arguments lie that the caller left room for.
    pub(super) arguments: u64,
}

/// The calls, and whether the stack was followed to its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Stack {
    pub(super) calls: Vec<Call>,
    pub(super) complete: bool,
}

pub(super) fn unwind(
    pages: &Pages<'_>,
    functions: &Functions<'_, '_>,
    machine: Machine,
    start: Start,
) -> Stack {
    let mut stack = Stack::default();
    let mut unwinder =
        Unwinder { pages, functions, machine, start, innermost: true, trapped: start.trapped };
    let mut next = Some(Registers { pc: start.pc, sp: start.sp, lr: start.lr });
    while let Some(at) = next.filter(|_| stack.calls.len() < MAX_FRAMES) {
        let Some((call, frame)) = unwinder.call(at) else { break };
        stack.complete = call.function.is_top();
        next = unwinder.caller(at, &call.function, frame);
        stack.calls.push(call);
    }
    stack
}

#[derive(Debug, Clone, Copy)]
struct Registers {
    pc: u64,
    sp: u64,
    /// Zero where the return address is on the stack.
    lr: u64,
}

struct Unwinder<'p, 'a> {
    pages: &'p Pages<'a>,
    functions: &'p Functions<'p, 'a>,
    machine: Machine,
    start: Start,
    /// Whether the first call is still to come.
    innermost: bool,
    /// Whether a signal interrupted the function that is next, instead of its having called.
    trapped: bool,
}

impl Unwinder<'_, '_> {
    /// The call at these registers, and where its caller's frame begins.
    fn call(&self, at: Registers) -> Option<(Call, u64)> {
        let function = self.functions.at(at.pc)?;
        let frame = self.frame(&function, at)?;
        // A stack only ever grows towards its end: this is what a cycle or garbage meets.
        let stands_still = frame == at.sp && !self.innermost && self.machine == Machine::Amd64;
        if frame < at.sp || frame > self.start.end || stands_still {
            return None;
        }
        let exact = self.trapped || at.pc <= function.entry;
        let pc = if exact { at.pc } else { at.pc - 1 };
        let arguments = frame.wrapping_add(argument_gap(self.machine));
        Some((Call { function, pc, arguments }, frame))
    }

    fn frame(&self, function: &Function, at: Registers) -> Option<u64> {
        if function.is_external() {
            return Some(at.sp);
        }
        let size = self.functions.frame_size(function, at.pc)?;
        // The call instruction of amd64 pushes the return address.
        let pushed = if self.machine == Machine::Amd64 { 8 } else { 0 };
        at.sp.checked_add(size)?.checked_add(pushed)
    }

    /// Who called; none at the end of the stack, and where it cannot be followed.
    fn caller(&mut self, at: Registers, function: &Function, frame: u64) -> Option<Registers> {
        let in_syscall = self.innermost && self.start.in_syscall;
        let switches = function.writes_sp() && &*function.name != "runtime.cgocallback";
        if function.is_top() || function.is_external() || (switches && !in_syscall) {
            return None;
        }
        let stored = match self.machine {
            Machine::Amd64 => Some(frame.checked_sub(8)?),
            Machine::Arm64 if (self.innermost && at.sp < frame) || at.lr == 0 => Some(at.sp),
            Machine::Arm64 => None,
        };
        let pc = stored.map_or(Some(at.lr), |stored| self.pages.word(stored));
        self.innermost = false;
        self.trapped = is_injected(&function.name);
        let caller = Registers { pc: pc.filter(|pc| *pc != 0)?, sp: frame, lr: 0 };
        match self.machine {
            Machine::Arm64 if self.trapped => self.interrupted(caller),
            _ => Some(caller),
        }
    }

    /// On arm64 the signal handler saved the return address of the function that it interrupted on the stack.
    fn interrupted(&self, at: Registers) -> Option<Registers> {
        let saved = self.pages.word(at.sp)?;
        let function = self.functions.at(at.pc);
        let size = function.and_then(|function| self.functions.frame_size(&function, at.pc));
        let lr = if size == Some(0) { saved } else { 0 };
        Some(Registers { sp: at.sp.checked_add(16)?, lr, ..at })
    }
}

/// `sys.MinFrameSize`: the room for the return address below the arguments.
fn argument_gap(machine: Machine) -> u64 {
    match machine {
        Machine::Amd64 => 0,
        Machine::Arm64 => 8,
    }
}

/// Functions that a signal put there: who is below them was interrupted and called nobody.
fn is_injected(name: &str) -> bool {
    matches!(name, "runtime.sigpanic" | "runtime.asyncPreempt" | "runtime.debugCallV2")
}
