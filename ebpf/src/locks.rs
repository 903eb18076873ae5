//! Locks of files: flock(2) and the locks of fcntl(2). The kernel's own tracepoints fire once when a request begins to wait and
//! again when it is granted (fs/locks.c).

use aya_ebpf::cty::c_void;
use aya_ebpf::helpers::generated;
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::RawTracePointContext;
use gmtrace_abi::{DEPTH, Kind, Lock, NAME, Number, Offset, PATH};

use crate::kernel::{Address, Syscall};
use crate::ring::{emit_as_it_is, lost};
use crate::tree;

/// fcntl(2).
const F_UNLCK: u8 = 2;
/// include/linux/filelock.h: the request waits where it must.
const FL_SLEEP: u32 = 128;

/// `TP_PROTO(struct inode *inode, struct file_lock *fl, int ret)` (include/trace/events/filelock.h).
#[raw_tracepoint(tracepoint = "flock_lock_inode")]
pub fn file_flock(ctx: RawTracePointContext) -> i32 {
    locked(Address(ctx.arg::<u64>(0)), Address(ctx.arg::<u64>(1)), ctx.arg::<i32>(2), Kind::Flock);
    0
}

/// Likewise.
#[raw_tracepoint(tracepoint = "posix_lock_inode")]
pub fn file_record_lock(ctx: RawTracePointContext) -> i32 {
    let (inode, lock) = (Address(ctx.arg::<u64>(0)), Address(ctx.arg::<u64>(1)));
    locked(inode, lock, ctx.arg::<i32>(2), Kind::RecordLock);
    0
}

#[inline(always)]
fn locked(inode: Address, lock: Address, result: i32, kind: Kind) -> Option<()> {
    let (who, _) = tree::current_member()?;
    // An int since 6.9, an unsigned char before: on a little-endian machine the first byte is the value.
    let mode: u8 = lock.get(Offset::LockType)?;
    let flags: u32 = lock.get(Offset::LockFlags)?;
    if mode == F_UNLCK || kind == Kind::RecordLock && flags & FL_SLEEP == 0 {
        return None;
    }
    let file = lock.follow(Offset::LockFile)?;
    let number_: u64 = inode.get(Offset::InodeNumber)?;
    let device: u32 = inode.follow(Offset::InodeSuper)?.get(Offset::SuperDevice)?;
    let call = Syscall::current();
    let own = call.filter(|call| call.is(Number::SysFlock) || call.is(Number::SysFcntl));
    let desk = unsafe { &mut *DESK.get_ptr_mut(0)? };
    // These tracepoints run without preemption (include/linux/tracepoint.h). Should that change, one that meets another one at its
    // work is lost, and counted.
    if desk.at_work != 0 {
        lost(kind);
        return None;
    }
    desk.at_work = 1;
    let record = &mut desk.record;
    record.inode = number_;
    record.device = device;
    record.mode = u32::from(mode);
    record.flags = flags;
    record.fd = own.map_or(-1, |call| call.fd);
    record.result = result;
    record.kept = 0;
    if !path(file, record) {
        record.kept = 0;
    }
    let used = size_of::<Lock>() - (PATH + NAME) + (kept(record) as usize & (PATH - 1));
    emit_as_it_is(kind, who, record, used);
    desk.at_work = 0;
    Some(())
}

/// Where a record is put together before it goes into the ring, as long as it has become.
#[repr(C)]
struct Desk {
    record: Lock,
    at_work: u64,
}

#[map]
static DESK: PerCpuArray<Desk> = PerCpuArray::with_max_entries(1, 0);

/// Writes the names from the file up to the root, one behind the other. What cannot be read is 0, and what is read at 0 cannot be
/// read. Whether the root was reached.
#[inline(always)]
fn path(file: Address, record: &mut Lock) -> bool {
    let mut dentry = file.pointer(Offset::FileDentry);
    let mut mounted = file.pointer(Offset::FileMount);
    for _ in 0..DEPTH {
        let parent = dentry.pointer(Offset::DentryParent);
        if dentry == mounted.pointer(Offset::VfsmountRoot) || dentry == parent {
            // The root of a filesystem: the path goes on where that is mounted.
            let mount = mounted.container(Offset::MountVfs);
            let above = mount.pointer(Offset::MountParent);
            if above == mount {
                // The last name may have gone beyond what is given on.
                return kept(record) < PATH as u32;
            }
            dentry = mount.pointer(Offset::MountPoint);
            mounted = above.member(Offset::MountVfs);
        } else {
            if kept(record) >= PATH as u32 {
                return false;
            }
            add_name(dentry, record);
            dentry = parent;
        }
    }
    false
}

/// Writes a name behind the others.
#[inline(always)]
fn add_name(dentry: Address, record: &mut Lock) {
    let text = dentry.pointer(Offset::DentryName).0 as *const c_void;
    let at = kept(record) & (PATH as u32 - 1);
    let into = unsafe { record.path.as_mut_ptr().add(at as usize) }.cast();
    let length = unsafe { generated::bpf_probe_read_kernel_str(into, NAME as u32, text) };
    if length > 0 {
        record.kept = at + (length as u32 & (2 * NAME as u32 - 1));
    }
}

/// What the verifier knows nothing of: it would follow every sum of lengths on its own, and the compiler would leave out the masks
/// that keep it within bounds.
#[inline(always)]
fn kept(record: &Lock) -> u32 {
    unsafe { core::ptr::read_volatile(&raw const record.kept) }
}
