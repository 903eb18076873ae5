//! The programs of the object, and where they are attached.
//!
//! aya could load them as well, but its loader reads the kernel's types at every start, which takes longer than all the rest, and it
//! attaches each uprobe by a perf event of its own. When one goes, the kernel waits until nobody can be in it
//! (uprobe_unregister_sync in kernel/events/uprobes.c), for some 100 ms, one after the other, also where gmtrace was killed. A link of many
//! uprobes (Linux 6.6) is waited for once.

use super::btf;
use super::load::{Error, missing, refused};
use super::machine::Version;
use super::preflight::with_memory;
use super::sys::{self, Kind, Moment, Probe, Source};
use aya::maps::{Map, MapData};
use aya_obj::generated::bpf_insn;
use aya_obj::{EbpfSectionKind, Object, ProgramSection};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Bytes of the verifier's log that are kept.
const LOG: usize = 1 << 20;

/// The maps of an object, by name.
pub(super) type Maps = HashMap<String, Map>;

/// Programs, and their links. Dropped, they are gone from the kernel.
#[derive(Debug)]
pub(super) struct Programs {
    license: CString,
    programs: HashMap<String, Program>,
    links: Vec<OwnedFd>,
    /// Whether the kernel attaches one to many instructions at once.
    many: bool,
}

#[derive(Debug)]
struct Program {
    kind: Kind,
    /// They name maps by their descriptors, which stay open as long as anything is attached.
    instructions: Vec<bpf_insn>,
    loaded: Option<OwnedFd>,
}

/// Makes the maps of an object, with these globals and sizes, and its programs ready to be loaded.
///
/// # Errors
/// What the kernel said.
pub(super) fn open<'n>(
    object: &[u8],
    globals: &[(&str, &[u8])],
    sizes: impl IntoIterator<Item = (&'n str, u32)>,
) -> Result<(Maps, Programs), Error> {
    let mut object = Object::parse(object).map_err(|why| refused("the object", &why))?;
    let globals = globals.iter().map(|(name, bytes)| (*name, (*bytes, true))).collect();
    object.patch_map_data(globals).map_err(|why| refused("the globals", &why))?;
    let mut described = std::mem::take(&mut object.maps);
    for (name, size) in sizes {
        described.get_mut(name).ok_or_else(|| missing(name))?.set_max_entries(size);
    }
    let mut made = HashMap::new();
    for (name, map) in &described {
        made.insert(name.as_str(), make(name, map)?);
    }
    let known = described.iter().filter_map(|(name, map)| {
        Some((name.as_str(), made.get(name.as_str())?.fd().as_fd().as_raw_fd(), map))
    });
    let sections = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(known, &sections).map_err(|why| refused("the maps", &why))?;
    object.relocate_calls(&sections).map_err(|why| refused("the calls", &why))?;
    let maps = made.into_iter().map(|(name, data)| Ok((name.to_owned(), typed(name, data)?)));
    Ok((maps.collect::<Result<_, Error>>()?, Programs::of(object)))
}

fn make(name: &str, map: &aya_obj::Map) -> Result<MapData, Error> {
    let data = MapData::create(map.clone(), name, None);
    let data = data.map_err(|why| refused(format!("the map {name}"), &why))?;
    if map.section_kind() == EbpfSectionKind::Rodata {
        let set = sys::set_constants(data.fd().as_fd(), map.value_size(), map.data());
        set.map_err(|why| refused(format!("the map {name}"), &why))?;
    }
    Ok(data)
}

fn typed(name: &str, data: MapData) -> Result<Map, Error> {
    Map::from_map_data(data).map_err(|why| refused(format!("the map {name}"), &why))
}

impl Programs {
    fn of(mut object: Object) -> Programs {
        let programs = object.programs.iter().filter_map(|(name, program)| {
            let kind = match program.section {
                ProgramSection::RawTracePoint => Kind::Tracepoint,
                ProgramSection::FExit { .. } => Kind::FunctionEnd(0),
                _ => Kind::Instruction,
            };
            let function = object.functions.remove(&program.function_key())?;
            Some((
                name.clone(),
                Program { kind, instructions: function.instructions, loaded: None },
            ))
        });
        let programs = programs.collect();
        Programs { license: object.license, programs, links: Vec::new(), many: false }
    }

    /// Attaches programs to many instructions at once from now on, if the kernel can: then it looks at the file, and says that a
    /// directory is none (bpf_uprobe_multi_link_attach in kernel/trace/bpf_trace.c). Asked with the program that is checked fastest.
    pub(super) fn use_links_of_many(&mut self, smallest: &str) -> bool {
        self.set_many(true);
        let nothing = Probe { offset: 0, cookie: 0 };
        let asked = self
            .descriptor(smallest)
            .map(|program| sys::attach_to_all(program, c"/", &[nothing], Moment::Reached));
        let answer = asked.ok().and_then(Result::err).and_then(|why| why.raw_os_error());
        self.set_many(answer == Some(libc::EBADF));
        self.many
    }

    /// Whether it can.
    pub(super) fn has_links_of_many(&self) -> bool {
        self.many
    }

    fn set_many(&mut self, many: bool) {
        self.many = many;
        let kind = if many { Kind::Instructions } else { Kind::Instruction };
        let of_files = [Kind::Instruction, Kind::Instructions];
        for program in self.programs.values_mut() {
            if of_files.contains(&program.kind) && program.kind != kind {
                (program.kind, program.loaded) = (kind, None);
            }
        }
    }

    /// Loads these, as many at a time as there are processors: the kernel checks programs side by side for who has CAP_BPF (bpf_check
    /// in kernel/bpf/verifier.c). One that it refuses is tried again where it is attached, which has the reason told.
    pub(super) fn load_together(&mut self, names: &[&str]) {
        let license = &self.license;
        let wanted = |(name, program): &(&String, &mut Program)| {
            names.contains(&name.as_str()) && program.loaded.is_none()
        };
        let mut waiting: Vec<_> = self.programs.iter_mut().filter(wanted).collect();
        // The longest are taken first, so that none of them is begun last.
        waiting.sort_by_key(|(_, program)| program.instructions.len());
        let waiting = Mutex::new(waiting);
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let work = || {
            while let Some((name, program)) = next() {
                program.loaded = load(name, program, license).ok();
            }
        };
        thread::scope(|scope| {
            let processors = thread::available_parallelism().map_or(1, usize::from);
            for _ in 1..processors.min(names.len()) {
                scope.spawn(work);
            }
            work();
        });
    }

    /// Keeps a link as long as the programs.
    pub(super) fn keep(&mut self, link: Option<OwnedFd>) {
        self.links.extend(link);
    }

    /// Attaches a program to a tracepoint of the kernel.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn attach_to_tracepoint(&mut self, name: &str, to: &str) -> Result<(), Error> {
        let program = self.descriptor(name)?;
        let attached = sys::attach_to_tracepoint(program, &c_string(to.as_bytes())?);
        let link = attached.map_err(|why| refused(format!("the tracepoint {to}"), &why))?;
        self.links.push(link);
        Ok(())
    }

    /// Attaches a program to where these functions of the kernel end.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn attach_to_ends(&mut self, name: &str, of: &[&str]) -> Result<(), Error> {
        for function in of {
            let number = btf::function(function).ok_or_else(|| missing(function))?;
            let program = self.programs.get_mut(name).ok_or_else(|| missing(name))?;
            (program.kind, program.loaded) = (Kind::FunctionEnd(number), None);
            let attached = sys::attach_to_end(self.descriptor(name)?);
            let link = attached.map_err(|why| refused(format!("the function {function}"), &why))?;
            self.links.push(link);
        }
        Ok(())
    }

    /// Attaches a program to instructions of a file, in every process that maps it.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn attach(
        &mut self,
        (name, moment): (&str, Moment),
        file: &Path,
        probes: &[Probe],
    ) -> Result<(), Error> {
        if probes.is_empty() {
            return Ok(());
        }
        let path = c_string(file.as_os_str().as_bytes())?;
        let many = self.many;
        let program = self.descriptor(name)?;
        let attached = if many {
            sys::attach_to_all(program, &path, probes, moment).map(|link| vec![link])
        } else {
            let one_by_one = || {
                let source = source()?;
                let one =
                    |probe: &Probe| sys::attach_to_one(program, &path, *probe, moment, source);
                Ok(probes
                    .iter()
                    .map(one)
                    .collect::<io::Result<Vec<_>>>()?
                    .into_iter()
                    .flatten()
                    .collect())
            };
            one_by_one()
        };
        let what = || format!("{} probes in {}", probes.len(), file.display());
        self.links.extend(attached.map_err(|why| refused(what(), &why))?);
        Ok(())
    }

    /// Loads all of them but those for functions of the kernel, which not every kernel takes. Gives their names, in order, how many instructions each has, and its descriptor.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn load_all(&mut self) -> Result<Vec<(String, usize, BorrowedFd<'_>)>, Error> {
        let everywhere = |(name, program): (&String, &Program)| {
            (!matches!(program.kind, Kind::FunctionEnd(_))).then(|| name.clone())
        };
        let mut names: Vec<String> = self.programs.iter().filter_map(everywhere).collect();
        names.sort();
        for name in &names {
            self.descriptor(name)?;
        }
        let loaded = |name: String| {
            let program = self.programs.get(&name)?;
            Some((name, program.instructions.len(), program.loaded.as_ref()?.as_fd()))
        };
        Ok(names.into_iter().filter_map(loaded).collect())
    }

    /// A program, which is loaded if it was not.
    fn descriptor(&mut self, name: &str) -> Result<BorrowedFd<'_>, Error> {
        let program = self.programs.get_mut(name).ok_or_else(|| missing(name))?;
        let descriptor = match program.loaded.take() {
            Some(descriptor) => descriptor,
            // Not only at start: a libc, or a go command, may be seen first when its process begins.
            None => with_memory(Version::running(), || load(name, program, &self.license))?,
        };
        let descriptor: &OwnedFd = program.loaded.insert(descriptor);
        Ok(descriptor.as_fd())
    }
}

fn load(name: &str, program: &Program, license: &CString) -> Result<OwnedFd, Error> {
    let Program { kind, instructions, .. } = program;
    let loaded = sys::load(*kind, name, instructions, license, &mut []);
    loaded.map_err(|why| {
        if tracing::enabled!(tracing::Level::DEBUG) {
            // The kernel writes a log for who wants it: that takes longer than the check itself.
            let mut log = vec![0; LOG];
            _ = sys::load(*kind, name, instructions, license, &mut log);
            tracing::debug!("{}", String::from_utf8_lossy(&log).trim_end_matches('\0'));
        }
        refused(format!("the program {name}"), &why)
    })
}

/// Attaches a program that does nothing to a file that nobody runs, and gives the link. The first uprobe after a while waits until
/// every fork(2) that runs is over, for a grace period of RCU (percpu_down_write of dup_mmap_sem in kernel/events/uprobes.c); the next
/// ones do not. So that is waited for while programs are checked. None where the kernel cannot attach to many at once.
pub(super) fn first_probe() -> Option<OwnedFd> {
    let program = sys::load(Kind::Instructions, "nothing", &nothing(), c"GPL", &mut []).ok()?;
    let file = memfd_create(c"nothing", MFdFlags::MFD_CLOEXEC).ok()?;
    nix::unistd::write(&file, &[0; 64]).ok()?;
    let path = c_string(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes()).ok()?;
    let probe = Probe { offset: 0, cookie: 0 };
    sys::attach_to_all(program.as_fd(), &path, &[probe], Moment::Reached).ok()
}

/// `r0 = 0; exit` (Documentation/bpf/standardization/instruction-set.rst).
fn nothing() -> [bpf_insn; 2] {
    [0xb7, 0x95].map(|code| bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(0, 0),
        off: 0,
        imm: 0,
    })
}

/// What the kernel says of its uprobes (Documentation/ABI/testing/sysfs-bus-event_source-devices-format).
fn source() -> io::Result<Source> {
    let device = Path::new("/sys/bus/event_source/devices/uprobe");
    let read = |name: &str, before: &str| {
        let text = fs::read_to_string(device.join(name))?;
        let number = text.trim().strip_prefix(before).and_then(|number| number.parse().ok());
        number.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    };
    Ok(Source { kind: read("type", "")?, return_bit: read("format/retprobe", "config:")? })
}

fn c_string(bytes: &[u8]) -> Result<CString, Error> {
    CString::new(bytes).map_err(|why| refused("a name", &why))
}
