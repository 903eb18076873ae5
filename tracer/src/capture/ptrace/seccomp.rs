//! The filter that chooses what stops. Everything else runs free: since Linux 5.11 a call that the filter always allows does
//! not even run it (seccomp's action cache, kernel/seccomp.c).

use super::arch;
use libc::{c_long, c_uint};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// The filter's data for a call of this machine's own ABI.
pub(super) const TRAPPED: u16 = 1;
/// The filter's data for a call of another ABI, whose numbers and arguments the filter cannot read.
pub(super) const FOREIGN: u16 = 2;

/// Go's DNS receive buffer (net/dnsclient_unix.go, `maxDNSPacketSize`).
pub(super) const DNS_READ: u64 = 1232;
/// The first read of a TLS connection (crypto/tls/conn.go: `bytes.MinRead` and a record header, rounded by append).
pub(super) const TLS_READ: u64 = 576;

/// linux/net.h, for clone(2): the tracer does not get the child.
pub(super) const CLONE_UNTRACED: u64 = 0x0080_0000;

/// What is trapped beside the rest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Every read(2).
    pub exact_reads: bool,
    /// Writes to descriptor 1.
    pub stdout: bool,
}

/// A comparison of the low 32 bits of an argument: the kernel looks at no more of an `int` (descriptors, commands, flags).
fn int(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions)
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// What is trapped: rare calls, and of frequent ones the rare arguments.
fn rules(wanted: Wanted) -> Result<Rules, BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let mut rules: Rules =
        [libc::SYS_connect, libc::SYS_recvmsg, libc::SYS_recvmmsg, libc::SYS_clone3]
            .map(|nr| (nr, Vec::new()))
            .into();
    // LOCK_UN (8) waits for nobody, with LOCK_NB or without.
    rules.insert(libc::SYS_flock, vec![rule(vec![int(1, MaskedEq(libc::LOCK_UN as u64), 0)?])?]);
    rules.insert(
        libc::SYS_fcntl,
        vec![
            rule(vec![int(1, Eq, libc::F_SETLKW as u64)?])?,
            rule(vec![int(1, Eq, libc::F_OFD_SETLKW as u64)?])?,
        ],
    );
    // A receiver of datagrams asks for the sender's address; recv(3) on a stream passes none.
    let sender = SeccompCondition::new(4, SeccompCmpArgLen::Qword, Ne, 0)?;
    rules.insert(libc::SYS_recvfrom, vec![rule(vec![sender])?]);
    rules.insert(
        libc::SYS_getsockopt,
        vec![rule(vec![int(1, Eq, libc::SOL_SOCKET as u64)?, int(2, Eq, libc::SO_ERROR as u64)?])?],
    );
    rules.insert(
        libc::SYS_clone,
        vec![rule(vec![int(0, MaskedEq(CLONE_UNTRACED), CLONE_UNTRACED)?])?],
    );
    rules.insert(libc::SYS_read, reads(wanted)?);
    rules.insert(libc::SYS_write, outputs(wanted)?);
    rules.insert(libc::SYS_writev, outputs(wanted)?);
    Ok(rules)
}

fn reads(wanted: Wanted) -> Result<Vec<SeccompRule>, BackendError> {
    if wanted.exact_reads {
        return Ok(Vec::new());
    }
    let count =
        |n| rule(vec![SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, n)?]);
    Ok(vec![count(DNS_READ)?, count(TLS_READ)?])
}

fn outputs(wanted: Wanted) -> Result<Vec<SeccompRule>, BackendError> {
    let to = |fd| rule(vec![int(0, SeccompCmpOp::Eq, fd)?]);
    let mut rules = vec![to(2)?];
    if wanted.stdout {
        rules.push(to(1)?);
    }
    Ok(rules)
}

/// Compiles the filter.
pub(super) fn program(wanted: Wanted) -> Result<BpfProgram, BackendError> {
    let target = TargetArch::try_from(std::env::consts::ARCH)?;
    let trace = SeccompAction::Trace(u32::from(TRAPPED));
    let filter = SeccompFilter::new(rules(wanted)?, SeccompAction::Allow, trace, target)?;
    Ok(trace_foreign(filter.try_into()?))
}

/// seccompiler kills a process that calls by another ABI; a tracer must let it live, and say so. Its programs begin with
/// "load arch; equal? skip one; kill; load number".
fn trace_foreign(mut program: BpfProgram) -> BpfProgram {
    let trace = libc::SECCOMP_RET_TRACE | c_uint::from(FOREIGN);
    for instruction in &mut program {
        if instruction.k == libc::SECCOMP_RET_KILL_PROCESS && instruction.code == RET {
            instruction.k = trace;
        }
    }
    if arch::HAS_X32 {
        let is_x32 = sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: arch::X32_BIT };
        let answer = sock_filter { code: RET, jt: 0, jf: 0, k: trace };
        program.splice(4..4, [is_x32, answer]);
    }
    program
}

/// BPF_RET | BPF_K (linux/bpf_common.h).
const RET: u16 = 0x06;
/// BPF_JMP | BPF_JGE | BPF_K.
const JUMP_IF_AT_LEAST: u16 = 0x35;

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = 0x7fff_0000;
    const TRACE: u32 = 0x7ff0_0000;
    const I386: u32 = 0x4000_0003;

    /// `struct seccomp_data` as words of 32 bits.
    fn data(arch: u32, nr: c_long, args: [u64; 6]) -> Vec<u32> {
        let mut words = vec![nr as u32, arch, 0, 0];
        words.extend(args.into_iter().flat_map(|arg| [arg as u32, (arg >> 32) as u32]));
        words
    }

    /// The few instructions that seccomp programs are made of (include/uapi/linux/bpf_common.h).
    fn run(program: &[sock_filter], data: &[u32]) -> u32 {
        let (mut at, mut a) = (0usize, 0u32);
        loop {
            let i = &program[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { i.jt } else { i.jf });
            match i.code {
                0x20 => a = data[i.k as usize / 4],
                0x54 => a &= i.k,
                0x05 => at += i.k as usize,
                0x15 => at += jump(a == i.k),
                0x25 => at += jump(a > i.k),
                0x35 => at += jump(a >= i.k),
                0x06 => return i.k,
                // seccompiler writes BPF_AND without its class on top: 0x04 | 0x50 | 0x00.
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    fn verdict(wanted: Wanted, nr: c_long, args: [u64; 6]) -> bool {
        match run(&program(wanted).unwrap(), &data(arch::NATIVE, nr, args)) {
            ALLOW => false,
            action => {
                assert_eq!(action, TRACE | u32::from(TRAPPED));
                true
            }
        }
    }

    fn traps(nr: c_long, args: [u64; 6]) -> bool {
        verdict(Wanted::default(), nr, args)
    }

    #[test]
    fn frequent_calls_run_free() {
        let free = [
            libc::SYS_openat,
            libc::SYS_close,
            libc::SYS_futex,
            libc::SYS_epoll_pwait,
            libc::SYS_pread64,
            libc::SYS_nanosleep,
            libc::SYS_sendto,
            libc::SYS_execve,
        ];
        for nr in free {
            assert!(!traps(nr, [2, 0, 1232, 0, 0, 0]), "system call {nr}");
        }
    }

    #[test]
    fn locks_are_trapped_and_unlocks_are_not() {
        let flock = |op: i32| traps(libc::SYS_flock, [5, op as u64, 0, 0, 0, 0]);
        assert!(
            flock(libc::LOCK_EX) && flock(libc::LOCK_SH) && flock(libc::LOCK_EX | libc::LOCK_NB)
        );
        assert!(!flock(libc::LOCK_UN) && !flock(libc::LOCK_UN | libc::LOCK_NB));
        let fcntl = |cmd: i32| traps(libc::SYS_fcntl, [5, cmd as u64, 0, 0, 0, 0]);
        assert!(fcntl(libc::F_SETLKW) && fcntl(libc::F_OFD_SETLKW));
        assert!(!fcntl(libc::F_SETLK) && !fcntl(libc::F_GETFL) && !fcntl(libc::F_SETFL));
    }

    #[test]
    fn of_reads_only_two_sizes_are_trapped() {
        let read = |wanted, count| verdict(wanted, libc::SYS_read, [3, 0, count, 0, 0, 0]);
        let usual = Wanted::default();
        assert!(read(usual, 1232) && read(usual, 576));
        assert!(!read(usual, 4096) && !read(usual, 512) && !read(usual, 1232 + (1 << 32)));
        assert!(read(Wanted { exact_reads: true, ..usual }, 4096));
    }

    #[test]
    fn of_writes_only_those_to_standard_error_are_trapped() {
        for nr in [libc::SYS_write, libc::SYS_writev] {
            let write = |wanted, fd| verdict(wanted, nr, [fd, 0, 10, 0, 0, 0]);
            let usual = Wanted::default();
            assert!(write(usual, 2) && !write(usual, 1) && !write(usual, 3));
            assert!(
                write(usual, 2 | 0xffff_ffff_0000_0000),
                "the kernel takes the low half of a descriptor"
            );
            let live = Wanted { stdout: true, ..usual };
            assert!(write(live, 1) && write(live, 2) && !write(live, 3));
        }
    }

    #[test]
    fn only_receivers_of_datagrams_are_trapped() {
        assert!(!traps(libc::SYS_recvfrom, [3, 0x1000, 512, 0, 0, 0]));
        assert!(traps(libc::SYS_recvfrom, [3, 0x1000, 512, 0, 0x7fff_0000_0000, 0x1000]));
        assert!(traps(libc::SYS_recvmsg, [0; 6]) && traps(libc::SYS_recvmmsg, [0; 6]));
    }

    #[test]
    fn the_end_of_a_connect_is_trapped_and_other_options_are_not() {
        let option = |level: i32, name: i32| {
            traps(libc::SYS_getsockopt, [3, level as u64, name as u64, 0, 0, 0])
        };
        assert!(option(libc::SOL_SOCKET, libc::SO_ERROR));
        assert!(
            !option(libc::SOL_SOCKET, libc::SO_TYPE) && !option(libc::IPPROTO_TCP, libc::SO_ERROR)
        );
    }

    #[test]
    fn a_clone_that_hides_its_child_is_trapped() {
        assert!(traps(libc::SYS_clone, [CLONE_UNTRACED | 17, 0, 0, 0, 0, 0]));
        assert!(!traps(
            libc::SYS_clone,
            [libc::CLONE_THREAD as u64 | libc::CLONE_VM as u64, 0, 0, 0, 0, 0]
        ));
        assert!(traps(libc::SYS_clone3, [0; 6]), "its flags are in memory");
    }

    #[test]
    fn calls_of_another_abi_are_marked_as_such() {
        let program = program(Wanted::default()).unwrap();
        let foreign = TRACE | u32::from(FOREIGN);
        assert_eq!(run(&program, &data(I386, 4, [0; 6])), foreign);
        if arch::HAS_X32 {
            let x32_write = libc::SYS_write | c_long::from(arch::X32_BIT);
            assert_eq!(run(&program, &data(arch::NATIVE, x32_write, [0; 6])), foreign);
        }
    }
}
