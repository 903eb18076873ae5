//! libc's getaddrinfo(3), in programs that are linked with it.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user_str_bytes};
use aya_ebpf::macros::{map, uprobe, uretprobe};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use gmtrace_abi::{Kind, Lookup};

use crate::ring::{emit, unpaired};
use crate::tree;

/// What a thread has asked for, by its id in the first namespace.
#[map]
static LOOKUPS: HashMap<u64, Asked> = HashMap::with_max_entries(4096, 0);

#[derive(Clone, Copy)]
#[repr(C)]
struct Asked {
    name: u64,
    service: u64,
}

/// `int getaddrinfo(const char *node, const char *service, ...)`.
#[uprobe]
pub fn getaddrinfo_enter(ctx: ProbeContext) -> u32 {
    begins(&ctx);
    0
}

#[inline(always)]
fn begins(ctx: &ProbeContext) -> Option<()> {
    let (who, _) = tree::current_member()?;
    let asked = Asked { name: ctx.arg(0)?, service: ctx.arg(1)? };
    if LOOKUPS.insert(bpf_get_current_pid_tgid(), asked, 0).is_err() {
        unpaired(Kind::LookupStart);
    }
    emit(Kind::LookupStart, who, |record: &mut Lookup| fill(record, &asked, 0));
    Some(())
}

/// It returns 0, or one of the EAI codes.
#[uretprobe]
pub fn getaddrinfo_return(ctx: RetProbeContext) -> u32 {
    ends(ctx.ret::<i32>());
    0
}

#[inline(always)]
fn ends(result: i32) -> Option<()> {
    let (who, _) = tree::current_member()?;
    let thread = bpf_get_current_pid_tgid();
    let asked = *unsafe { LOOKUPS.get(thread) }?;
    _ = LOOKUPS.remove(thread);
    emit(Kind::LookupEnd, who, |record: &mut Lookup| fill(record, &asked, result));
    Some(())
}

#[inline(always)]
fn fill(record: &mut Lookup, asked: &Asked, result: i32) {
    record.result = result;
    record.unused = 0;
    (record.name[0], record.service[0]) = (0, 0);
    // Null is allowed for either; an unreadable one stays empty.
    _ = unsafe { bpf_probe_read_user_str_bytes(asked.name as *const u8, &mut record.name) };
    _ = unsafe { bpf_probe_read_user_str_bytes(asked.service as *const u8, &mut record.service) };
}

/// A thread ends, in a look-up or not.
#[inline(always)]
pub fn forget_thread() {
    _ = LOOKUPS.remove(bpf_get_current_pid_tgid());
}
