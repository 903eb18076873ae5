//! Which processes belong to the tree that gmtrace watches.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use gmtrace_abi::{Kind, Number, Offset};

use crate::kernel::{Address, current, number};
use crate::ring::unpaired;

/// The inode of the first pid namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO).
const FIRST_NAMESPACE: u32 = 0xEFFF_FFFC;
/// Namespaces nest 32 deep at most (pid_namespaces(7)); gmtrace's own lies at the top of that.
const MAX_LEVEL: u32 = 8;

/// By process ids of the first namespace. A child is put in by the fork itself, before its first instruction.
#[map]
static TREE: HashMap<u32, Member> = HashMap::with_max_entries(16384, 0);

/// By the process ids that gmtrace knows: those that were there before.
#[map]
static SEEDS: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Member {
    /// Its id in gmtrace's namespace.
    pub pid: u32,
    /// How deep that namespace lies.
    pub level: u32,
}

/// A process and a thread of the tree, by the ids that gmtrace knows.
#[derive(Clone, Copy)]
pub struct Who {
    pub pid: u32,
    pub tid: u32,
}

/// The current thread, if it is one of the tree.
#[inline(always)]
pub fn current_member() -> Option<(Who, Member)> {
    let ids = bpf_get_current_pid_tgid();
    let (tgid, tid) = ((ids >> 32) as u32, ids as u32);
    let member = match unsafe { TREE.get(tgid) } {
        Some(member) => *member,
        None => claim(tgid)?,
    };
    let tid = if member.level == 0 { tid } else { id_at(current(), member.level)? };
    Some((Who { pid: member.pid, tid }, member))
}

/// Another process, if it is one of the tree. One that was there before and has done nothing since is not known yet.
#[inline(always)]
pub fn member_of(task: Address) -> Option<Member> {
    unsafe { TREE.get(task.get::<u32>(Offset::TaskTgid)?) }.copied()
}

/// Takes in a process that gmtrace has named.
#[inline(never)]
fn claim(tgid: u32) -> Option<Member> {
    let leader = current().follow(Offset::TaskLeader)?;
    let level = own_level(leader)?;
    let pid = id_at(leader, level)?;
    unsafe { SEEDS.get(pid) }?;
    let member = Member { pid, level };
    if TREE.insert(tgid, member, 0).is_err() {
        unpaired(Kind::Fork);
    }
    Some(member)
}

/// How deep gmtrace's pid namespace lies, seen from a process in or below it.
#[inline(always)]
fn own_level(task: Address) -> Option<u32> {
    let own = number(Number::OwnPidNamespace);
    if own == FIRST_NAMESPACE {
        return Some(0);
    }
    let pid = task.follow(Offset::TaskThreadPid)?;
    let deepest: u32 = pid.get(Offset::PidLevel)?;
    for level in 0..MAX_LEVEL {
        if level > deepest {
            return None;
        }
        let namespace = upid(pid, level).follow(Offset::UpidNs)?;
        if namespace.get::<u32>(Offset::PidNamespaceInode)? == own {
            return Some(level);
        }
    }
    None
}

/// Its id in the namespace at this level.
#[inline(always)]
pub fn id_at(task: Address, level: u32) -> Option<u32> {
    if level == 0 {
        return task.get(Offset::TaskPid);
    }
    let pid = task.follow(Offset::TaskThreadPid)?;
    upid(pid, level).get(Offset::UpidNr)
}

/// Its id in its own, innermost namespace.
#[inline(always)]
pub fn id_inside(task: Address) -> Option<u32> {
    let pid = task.follow(Offset::TaskThreadPid)?;
    let level: u32 = pid.get(Offset::PidLevel)?;
    upid(pid, level).get(Offset::UpidNr)
}

/// `struct upid` is an int and a pointer: 16 bytes on every 64-bit machine.
#[inline(always)]
fn upid(pid: Address, level: u32) -> Address {
    pid.member(Offset::PidNumbers).plus(u64::from(level) * 16)
}

/// Takes in a child of a member.
#[inline(always)]
pub fn adopt(tgid: u32, member: Member) {
    if TREE.insert(tgid, member, 0).is_err() {
        unpaired(Kind::Fork);
    }
}

/// Forgets a process that has ended.
#[inline(always)]
pub fn forget(tgid: u32, pid: u32) {
    // Not there: it had no room.
    _ = TREE.remove(tgid);
    _ = SEEDS.remove(pid);
}
