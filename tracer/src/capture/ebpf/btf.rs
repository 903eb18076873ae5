//! Where members lie in the structures of the running kernel, from its BTF (Documentation/bpf/btf.rst, include/uapi/linux/btf.h).
//!
//! Some ten structures are looked up among 150,000 types, at every start: the types are walked once, and nothing is built of them
//! but a table of where each begins. (aya reads BTF too, but keeps its types to itself.)

use gmtrace_abi::{MISSING, Offset};
use memmap2::{Mmap, MmapOptions};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;

/// The kernel's own types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
/// Anonymous members and typedefs are followed this deep.
const DEPTH: u32 = 16;

/// Why there are no offsets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read: a kernel without CONFIG_DEBUG_INFO_BTF has none.
    #[error("the kernel's types ({VMLINUX}): {0}")]
    Unreadable(#[from] io::Error),
    /// It is no BTF.
    #[error("the kernel's types ({VMLINUX}) are of a format that gmtrace does not know")]
    Malformed,
}

/// What every [`Offset`] is on this kernel, in bytes; [`MISSING`] where it has no such member.
///
/// # Errors
/// Where the types cannot be read.
pub fn offsets() -> Result<[u32; Offset::COUNT], Error> {
    // Where they can be mapped (Linux 6.16), nothing is copied; to be read, they come in 1,400 pages.
    let offsets = match mapped(&File::open(VMLINUX)?) {
        Ok(bytes) => offsets_in(&bytes),
        Err(_) => offsets_in(&fs::read(VMLINUX)?),
    };
    offsets.ok_or(Error::Malformed)
}

#[allow(unsafe_code, reason = "who maps a file has to know that it does not change")]
fn mapped(file: &File) -> io::Result<Mmap> {
    // SAFETY: it is memory of the kernel that nobody can write to, of a size that does not change
    // (btf_sysfs_vmlinux_mmap in kernel/bpf/sysfs_btf.c, which takes private mappings alone).
    unsafe { MmapOptions::new().map_copy_read_only(file) }
}

fn offsets_in(bytes: &[u8]) -> Option<[u32; Offset::COUNT]> {
    let structures = Offset::ALL.iter().flat_map(|offset| offset.source().split('|'));
    let mut names: Vec<&str> = structures.filter_map(|path| path.split('.').next()).collect();
    names.sort_unstable();
    names.dedup();
    let types = Types::index(bytes, STRUCT, &names)?;
    let mut offsets = [MISSING; Offset::COUNT];
    for (place, offset) in offsets.iter_mut().zip(Offset::ALL) {
        let found = offset.source().split('|').find_map(|path| types.offset(path));
        *place = found.unwrap_or(MISSING);
    }
    Some(offsets)
}

/// The number of one of the kernel's functions; none where it has no such function, or its types cannot be read.
pub fn function(name: &str) -> Option<u32> {
    let bytes = fs::read(VMLINUX).ok()?;
    let types = Types::index(&bytes, FUNCTION, &[name])?;
    types.named.get(name.as_bytes()).copied()
}

/// The kinds that matter here.
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const FUNCTION: u32 = 12;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const TYPE_TAG: u32 = 18;

/// Bytes that follow the three words of a type.
fn extra(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        2 | 7..=12 | 16 | 18 => 0,
        1 | 14 | 17 => 4,
        ARRAY => 12,
        STRUCT | UNION | 15 | 19 => members * 12,
        6 | 13 => members * 8,
        _ => return None,
    })
}

struct Types<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins; the first is number 1, 0 is void.
    starts: Vec<u32>,
    /// The types that were asked for, by name.
    named: HashMap<&'a [u8], u32>,
}

/// One type.
struct Type<'a> {
    kind: u32,
    members: &'a [u8],
    /// Whether member offsets have the size of a bit field in their upper byte.
    packed: bool,
    /// The size of a structure, or another type's number.
    refers: u32,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

impl<'a> Types<'a> {
    /// Walks over all types, and finds those of a kind that have these names.
    fn index(bytes: &'a [u8], wanted: u32, names: &[&str]) -> Option<Types<'a>> {
        if word(bytes, 0)? as u16 != MAGIC {
            return None;
        }
        let header = word(bytes, 4)? as usize;
        let part = |offset: usize, length: usize| {
            let start = header.checked_add(word(bytes, offset)? as usize)?;
            bytes.get(start..start.checked_add(word(bytes, length)? as usize)?)
        };
        let (types, strings) = (part(8, 12)?, part(16, 20)?);
        let mut index = Types { types, strings, starts: vec![0], named: HashMap::new() };
        let mut at = 0;
        while at < types.len() {
            let info = word(types, at + 4)?;
            let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            if kind == wanted {
                let name = index.string(word(types, at)?);
                if names.iter().any(|known| known.as_bytes() == name) {
                    let number = u32::try_from(index.starts.len()).ok()?;
                    index.named.entry(name).or_insert(number);
                }
            }
            index.starts.push(u32::try_from(at).ok()?);
            at = at.checked_add(12 + extra(kind, members)?)?;
        }
        Some(index)
    }

    /// A string of the table, without the NUL byte that ends it.
    fn string(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn get(&self, number: u32) -> Option<Type<'a>> {
        let at = *self.starts.get(number as usize).filter(|_| number != 0)? as usize;
        let info = word(self.types, at + 4)?;
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let start = at + 12;
        let members = self.types.get(start..start.checked_add(extra(kind, count)?)?)?;
        Some(Type { kind, members, packed: info >> 31 == 1, refers: word(self.types, at + 8)? })
    }

    /// `structure.member.member`, in bytes.
    fn offset(&self, path: &str) -> Option<u32> {
        let mut names = path.split('.');
        let mut number = *self.named.get(names.next()?.as_bytes())?;
        let mut bits = 0;
        for name in names {
            let (at, of) = self.member(number, name.as_bytes(), DEPTH)?;
            (bits, number) = (bits + at, of);
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// Where a member lies, in bits, and its type. Those of anonymous members count as the structure's own.
    fn member(&self, number: u32, name: &[u8], depth: u32) -> Option<(u32, u32)> {
        let of = self.get(number)?;
        let deeper = depth.checked_sub(1)?;
        match of.kind {
            TYPEDEF | VOLATILE | CONST | TYPE_TAG => self.member(of.refers, name, deeper),
            STRUCT | UNION => of.members.chunks_exact(12).find_map(|member| {
                let (called, kind) = (self.string(word(member, 0)?), word(member, 4)?);
                let at = word(member, 8)?;
                let (at, width) = if of.packed { (at & 0xff_ffff, at >> 24) } else { (at, 0) };
                match called {
                    b"" => {
                        let (inside, kind) = self.member(kind, name, deeper)?;
                        Some((at + inside, kind))
                    }
                    _ if called == name && width == 0 => Some((at, kind)),
                    _ => None,
                }
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_every_structure() {
        let offsets = match offsets() {
            Ok(offsets) => offsets,
            Err(error) => panic!("{error}"),
        };
        for (offset, at) in Offset::ALL.iter().zip(offsets) {
            assert!(at < 16 * 1024, "{offset:?} ({}): {at}", offset.source());
        }
        // What is fixed by the ABI between kernel and user space, or by the order of a structure's first members.
        let of = |which: Offset| offsets[which as usize];
        assert_eq!(of(Offset::UpidNr), 0);
        assert_eq!(
            of(Offset::SockFamily),
            16,
            "__sk_common is first, and so are addresses, hash and ports"
        );
    }

    /// What the programs take the arguments of their tracepoints for: `TP_PROTO`, of which the kernel keeps a type for each, with the
    /// data of who is attached as a first argument.
    #[test]
    fn tracepoints_have_the_arguments_that_programs_take() {
        let expected: [(&str, &[&str]); 10] = [
            ("sched_process_fork", &["task_struct", "task_struct"]),
            ("sched_process_exec", &["task_struct", "", "linux_binprm"]),
            ("sched_process_exit", &["task_struct"]),
            ("inet_sock_set_state", &["sock", "", ""]),
            ("flock_lock_inode", &["inode", "file_lock", ""]),
            ("posix_lock_inode", &["inode", "file_lock", ""]),
            ("sock_send_length", &["sock", "", ""]),
            ("sock_recv_length", &["sock", "", ""]),
            ("signal_deliver", &["", "kernel_siginfo", "k_sigaction"]),
            ("signal_generate", &["", "kernel_siginfo", "task_struct", "", ""]),
        ];
        let bytes = fs::read(VMLINUX).unwrap();
        let types = Types::index(&bytes, STRUCT, &[]).unwrap();
        let name = |number: u32| {
            let at = types.starts[number as usize] as usize;
            String::from_utf8_lossy(types.string(word(types.types, at).unwrap())).into_owned()
        };
        let all = 1..u32::try_from(types.starts.len()).unwrap();
        let known: HashMap<String, u32> = all.map(|number| (name(number), number)).collect();
        for (tracepoint, arguments) in expected {
            let Some(typed) = known.get(&format!("btf_trace_{tracepoint}")) else {
                assert!(tracepoint.ends_with("_length"), "{tracepoint}: there since 6.3");
                continue;
            };
            let pointer = types.get(*typed).unwrap().refers;
            let function = types.get(types.get(pointer).unwrap().refers).unwrap();
            let passed: Vec<u32> =
                function.members.chunks_exact(8).map(|m| word(m, 4).unwrap()).skip(1).collect();
            // More may follow, as in sched_process_exit since 6.16.
            assert!(passed.len() >= arguments.len(), "{tracepoint}");
            for (number, structure) in passed.into_iter().zip(arguments) {
                assert_eq!(pointed_to(&types, number, &name), *structure, "{tracepoint}");
            }
        }
    }

    /// The structure that a pointer leads to; nothing where it is no pointer.
    fn pointed_to(types: &Types<'_>, number: u32, name: &dyn Fn(u32) -> String) -> String {
        const POINTER: u32 = 2;
        let of = types.get(number).unwrap();
        if of.kind != POINTER {
            return String::new();
        }
        let mut to = of.refers;
        while types.get(to).is_some_and(|t| [CONST, VOLATILE, TYPEDEF].contains(&t.kind)) {
            to = types.get(to).unwrap().refers;
        }
        name(to)
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(offsets_in(b"").is_none());
        assert!(offsets_in(&[0xff; 64]).is_none());
        let mut header = vec![0x9f, 0xeb, 1, 0];
        for word in [24u32, 0, u32::MAX, 0, 0] {
            header.extend(word.to_ne_bytes());
        }
        assert!(offsets_in(&header).is_none(), "a length beyond the end");
    }

    #[test]
    fn bytes_in_disorder_are_no_panic() {
        let bytes = fs::read(VMLINUX).unwrap_or_default();
        let start: Vec<u8> = bytes.into_iter().take(20_000).collect();
        for at in 0..start.len().min(400) {
            let mut broken = start.clone();
            broken[at] ^= 0xff;
            _ = offsets_in(&broken);
        }
    }
}
