//! Functions by address: names, frame sizes, what was inlined, where arguments lie (runtime/symtab.go).

use super::layout::Layout;
use super::meaning;
use super::memory::Pages;
use super::module::Module;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The longest name of a function that is read, bytes.
const MAX_NAME: usize = 512;

/// The most bytes of a table that are looked through for one address.
const MAX_TABLE: usize = 1 << 16;

/// The most frames that were inlined into one another.
const MAX_INLINED: usize = 32;

/// internal/abi/symtab.go.
const PCDATA_INL_TREE_INDEX: u64 = 2;
const PCDATA_ARG_LIVE_INDEX: u64 = 3;
const FUNCDATA_INL_TREE: u64 = 3;
const FUNCDATA_ARG_INFO: u64 = 5;
const FUNCDATA_ARG_LIVE_INFO: u64 = 6;

/// `_func.flag`: the stack ends here.
const TOP_FRAME: u8 = 1;
/// The function moves the stack pointer in a way that no table knows.
const WRITES_SP: u8 = 2;

/// A function, `runtime._func`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: Rc<str>,
    pub(super) entry: u64,
    /// Whether its arguments mean something.
    pub(super) known: bool,
    at: u64,
    pcsp: u32,
    npcdata: u64,
    nfuncdata: u64,
    flag: u8,
}

impl Function {
    pub(super) fn is_top(&self) -> bool {
        self.flag & TOP_FRAME != 0
    }

    pub(super) fn writes_sp(&self) -> bool {
        self.flag & WRITES_SP != 0
    }

    /// Whether there is no frame information: it was not compiled by Go.
    pub(super) fn is_external(&self) -> bool {
        self.pcsp == 0
    }
}

/// All functions of the program, looked up one by one.
pub(super) struct Functions<'p, 'a> {
    pages: &'p Pages<'a>,
    module: Module,
    layout: Layout,
    found: RefCell<HashMap<u64, Option<Rc<Function>>>>,
    names: RefCell<HashMap<u32, Option<Rc<str>>>>,
    values: RefCell<HashMap<(u32, u64, u64), Option<i32>>>,
    inlined: RefCell<HashMap<u64, Rc<[Rc<str>]>>>,
}

impl<'p, 'a> Functions<'p, 'a> {
    pub(super) fn new(pages: &'p Pages<'a>, module: Module, layout: Layout) -> Functions<'p, 'a> {
        Functions {
            pages,
            module,
            layout,
            found: RefCell::default(),
            names: RefCell::default(),
            values: RefCell::default(),
            inlined: RefCell::default(),
        }
    }

    /// The function that has the instruction at `pc`.
    pub(super) fn at(&self, pc: u64) -> Option<Rc<Function>> {
        if let Some(known) = self.found.borrow().get(&pc) {
            return known.clone();
        }
        let function = self.look_up(pc).map(Rc::new);
        self.found.borrow_mut().insert(pc, function.clone());
        function
    }

    fn look_up(&self, pc: u64) -> Option<Function> {
        if pc < self.module.minpc || pc >= self.module.maxpc {
            return None;
        }
        let offset = u32::try_from(pc.checked_sub(self.module.text)?).ok()?;
        let (mut low, mut high) = (0, self.module.ftab_length);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.entry(middle)? <= offset {
                low = middle;
            } else {
                high = middle;
            }
        }
        let entry = self.entry(low)?;
        let at = self.pages.half(self.module.ftab.wrapping_add(low * 8 + 4))?;
        let function = self.read(self.module.functions.wrapping_add(u64::from(at)))?;
        let expected = self.module.text.wrapping_add(u64::from(entry));
        (entry <= offset && function.entry == expected).then_some(function)
    }

    /// Where function number `index` begins, counted from the beginning of the text.
    fn entry(&self, index: u64) -> Option<u32> {
        self.pages.half(self.module.ftab.wrapping_add(index * 8))
    }

    fn read(&self, at: u64) -> Option<Function> {
        let half = |offset: u64| self.pages.half(at.wrapping_add(offset));
        // funcID, flag, padding and nfuncdata are the four bytes before the tables.
        let [_id, flag, _, nfuncdata] = half(self.layout.func_header - 4)?.to_le_bytes();
        let name = self.name(half(4)?)?;
        Some(Function {
            known: meaning::is_known(&name),
            name,
            entry: self.module.text.wrapping_add(u64::from(half(0)?)),
            at,
            pcsp: half(16)?,
            npcdata: u64::from(half(28)?),
            nfuncdata: u64::from(nfuncdata),
            flag,
        })
    }

    fn name(&self, offset: u32) -> Option<Rc<str>> {
        if let Some(known) = self.names.borrow().get(&offset) {
            return known.clone();
        }
        let at = self.module.names.wrapping_add(u64::from(offset));
        let name = self.pages.terminated(at, MAX_NAME).filter(|name| !name.is_empty());
        let name = name.map(|name| Rc::from(printed(&String::from_utf8_lossy(&name))));
        self.names.borrow_mut().insert(offset, name.clone());
        name
    }

    /// Bytes between the stack pointer at `pc` and where it was on entry.
    pub(super) fn frame_size(&self, function: &Function, pc: u64) -> Option<u64> {
        u64::try_from(self.value(function.pcsp, function.entry, pc)?).ok()
    }

    /// Names of the functions whose code is at `pc`, the innermost first, the function itself last.
    pub(super) fn names_at(&self, function: &Function, pc: u64) -> Rc<[Rc<str>]> {
        if let Some(known) = self.inlined.borrow().get(&pc) {
            return Rc::clone(known);
        }
        let names: Rc<[_]> = self.look_up_names(function, pc).into();
        self.inlined.borrow_mut().insert(pc, Rc::clone(&names));
        names
    }

    fn look_up_names(&self, function: &Function, pc: u64) -> Vec<Rc<str>> {
        let mut names = Vec::new();
        let (tree, mut pc) = (self.funcdata(function, FUNCDATA_INL_TREE), pc);
        while let Some(tree) = tree.filter(|_| names.len() < MAX_INLINED) {
            let index = self.pcdata(function, PCDATA_INL_TREE_INDEX, pc);
            let Some(index) = index.and_then(|index| u64::try_from(index).ok()) else { break };
            let call = tree.wrapping_add(index * self.layout.inlined_size);
            let name = self.pages.half(call.wrapping_add(self.layout.inlined_name));
            let parent = self.pages.half(call.wrapping_add(self.layout.inlined_parent));
            let (Some(name), Some(parent)) = (name.and_then(|at| self.name(at)), parent) else {
                break;
            };
            names.push(name);
            pc = function.entry.wrapping_add(u64::from(parent));
        }
        names.push(Rc::clone(&function.name));
        names
    }

    /// The description of the arguments (internal/abi `TraceArgs...`).
    pub(super) fn arg_info(&self, function: &Function) -> Option<u64> {
        self.funcdata(function, FUNCDATA_ARG_INFO)
    }

    /// The bitmap of the spilled arguments that hold their values at `pc`: none where the compiler says that all do. The first is
    /// the smallest offset that it speaks of.
    pub(super) fn arg_liveness(&self, function: &Function, pc: u64) -> Option<(u8, u64)> {
        let info = self.funcdata(function, FUNCDATA_ARG_LIVE_INFO)?;
        let from = self.pages.byte(info)?;
        let index = self.pcdata(function, PCDATA_ARG_LIVE_INDEX, pc)?;
        let index = u64::try_from(index).ok().filter(|index| *index > 0)?;
        Some((from, info.wrapping_add(index)))
    }

    fn funcdata(&self, function: &Function, which: u64) -> Option<u64> {
        if which >= function.nfuncdata {
            return None;
        }
        let tables = function.at.wrapping_add(self.layout.func_header);
        let slot = tables.wrapping_add(function.npcdata.wrapping_add(which).wrapping_mul(4));
        let offset = self.pages.half(slot).filter(|offset| *offset != u32::MAX)?;
        Some(self.module.gofunc.wrapping_add(u64::from(offset)))
    }

    /// None or negative where the table says nothing.
    fn pcdata(&self, function: &Function, which: u64, pc: u64) -> Option<i32> {
        if which >= function.npcdata {
            return None;
        }
        let tables = function.at.wrapping_add(self.layout.func_header);
        let table = self.pages.half(tables.wrapping_add(which * 4))?;
        (table != 0).then(|| self.value(table, function.entry, pc)).flatten()
    }

    fn value(&self, table: u32, entry: u64, pc: u64) -> Option<i32> {
        let key = (table, entry, pc);
        if let Some(known) = self.values.borrow().get(&key) {
            return *known;
        }
        let value = self.decode(table, entry, pc);
        self.values.borrow_mut().insert(key, value);
        value
    }

    /// A table of pairs: how much the value changes (zigzag), and for how many instructions it holds (runtime/symtab.go, `step`).
    fn decode(&self, table: u32, entry: u64, pc: u64) -> Option<i32> {
        let at = self.module.pctab.wrapping_add(u64::from(table));
        let mut bytes = self.pages.stream(at).take(MAX_TABLE);
        let (mut value, mut until) = (-1_i32, entry);
        loop {
            let change = varint(&mut bytes)?;
            // A change of zero ends the table, but for its first entry.
            if change == 0 && until != entry {
                return None;
            }
            let change = (change >> 1).cast_signed() ^ -(change & 1).cast_signed();
            value = value.wrapping_add(change);
            let length = u64::from(varint(&mut bytes)?).checked_mul(self.module.quantum)?;
            until = until.checked_add(length)?;
            if pc < until {
                return Some(value);
            }
        }
    }
}

fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut value = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.next()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The name as the runtime prints it: type arguments are `[...]` (runtime/symtab.go, `funcNameForPrint`).
fn printed(name: &str) -> String {
    match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            let (before, after) = (name.get(..open), name.get(close..));
            format!("{}[...{}", before.unwrap_or_default(), after.unwrap_or_default())
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_the_runtime_prints_them() {
        assert_eq!(printed("main.main"), "main.main");
        assert_eq!(printed("sync.(*Pool[go.shape.int]).Get"), "sync.(*Pool[...]).Get");
        assert_eq!(printed("a.b[a.c[int]].func1"), "a.b[...].func1");
        assert_eq!(printed("a]b["), "a]b[");
    }

    #[test]
    fn varints() {
        let read = |bytes: &[u8]| varint(&mut bytes.iter().copied());
        assert_eq!(read(&[5]), Some(5));
        assert_eq!(read(&[0xac, 2]), Some(300));
        assert_eq!(read(&[0x80]), None);
        assert_eq!(read(&[0xff; 9]), None);
    }
}
