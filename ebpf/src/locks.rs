//! Locks of files: flock(2) and the locks of fcntl(2). The kernel's own tracepoints fire once when a request begins to wait and
//! again when it is granted (fs/locks.c).

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use gmtrace_abi::{DEPTH, Kind, Lock, NAME, Number, Offset};

use crate::kernel::{Address, Syscall};
use crate::ring::emit;
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
    let fd = own.map_or(-1, |call| call.fd);
    emit(kind, who, |record: &mut Lock| {
        record.inode = number_;
        record.device = device;
        record.mode = u32::from(mode);
        record.flags = flags;
        record.fd = fd;
        record.result = result;
        record.depth = path(file, &mut record.path);
    });
    Some(())
}

/// Writes the names from the file up to the root, each into its own place: a place that depends on the lengths of the names before
/// it would be a case of its own for the verifier. What cannot be read is 0, and what is read at 0 cannot be read. Gives the
/// number of places that are used; 0 where the root was not reached.
#[inline(always)]
fn path(file: Address, into: &mut [[u8; NAME]; DEPTH]) -> u32 {
    let mut dentry = file.pointer(Offset::FileDentry);
    let mut mounted = file.pointer(Offset::FileMount);
    for (step, name) in into.iter_mut().enumerate() {
        name[0] = 0;
        let parent = dentry.pointer(Offset::DentryParent);
        if dentry == mounted.pointer(Offset::VfsmountRoot) || dentry == parent {
            // The root of a filesystem: the path goes on where that is mounted.
            let mount = mounted.container(Offset::MountVfs);
            let above = mount.pointer(Offset::MountParent);
            if above == mount {
                return step as u32;
            }
            dentry = mount.pointer(Offset::MountPoint);
            mounted = above.member(Offset::MountVfs);
        } else {
            let text = dentry.pointer(Offset::DentryName);
            _ = unsafe { bpf_probe_read_kernel_str_bytes(text.0 as *const u8, name) };
            dentry = parent;
        }
    }
    0
}
