//! What the programs are told of the machine: its system calls, its registers, gmtrace's own pid namespace.

use gmtrace_abi::Number;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The reader is woken when so many bytes wait: an eighth of the smaller ring buffer.
const WAKE_AT: u32 = (1 << 20) / 8;

/// The machine's [`Number`]s.
pub fn numbers(kernel: Version) -> [u32; Number::COUNT] {
    let mut numbers = [0; Number::COUNT];
    for (place, which) in numbers.iter_mut().zip(Number::ALL) {
        *place = number(*which, kernel);
    }
    numbers
}

fn number(which: Number, kernel: Version) -> u32 {
    let call = |nr: libc::c_long| u32::try_from(nr).unwrap_or(gmtrace_abi::MISSING);
    match which {
        Number::OwnPidNamespace => own_pid_namespace(),
        Number::HasTaskRegs => u32::from(kernel >= Version(5, 15)),
        Number::RegsInStack => regs::IN_STACK,
        Number::RegsSyscall => regs::SYSCALL,
        Number::RegsArg0 => regs::ARG0,
        Number::RegsArg1 => regs::ARG1,
        Number::RegsStack => regs::STACK,
        Number::RegsGoroutine => regs::GOROUTINE,
        Number::RegsMode => regs::MODE,
        Number::RegsModeMask => regs::MODE_MASK,
        Number::RegsModeNative => regs::MODE_NATIVE,
        Number::ForeignBit => regs::FOREIGN_BIT,
        Number::SysRead => call(libc::SYS_read),
        Number::SysWrite => call(libc::SYS_write),
        Number::SysReadv => call(libc::SYS_readv),
        Number::SysWritev => call(libc::SYS_writev),
        Number::SysRecvfrom => call(libc::SYS_recvfrom),
        Number::SysSendto => call(libc::SYS_sendto),
        Number::SysRecvmsg => call(libc::SYS_recvmsg),
        Number::SysSendmsg => call(libc::SYS_sendmsg),
        Number::SysRecvmmsg => call(libc::SYS_recvmmsg),
        Number::SysSendmmsg => call(libc::SYS_sendmmsg),
        Number::SysFlock => call(libc::SYS_flock),
        Number::SysFcntl => call(libc::SYS_fcntl),
        Number::WakeAt => WAKE_AT,
    }
}

/// The inode of the namespace whose process ids gmtrace knows.
fn own_pid_namespace() -> u32 {
    let inode = fs::metadata("/proc/self/ns/pid").map(|file| file.ino());
    inode.ok().and_then(|inode| u32::try_from(inode).ok()).unwrap_or(0)
}

/// arch/x86/include/asm/ptrace.h: r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss.
#[cfg(target_arch = "x86_64")]
mod regs {
    /// At its end (task_pt_regs in arch/x86/include/asm/processor.h). THREAD_SIZE is 16 KiB; a kernel with KASAN has twice that, and
    /// what is found in the middle is no code segment.
    pub const IN_STACK: u32 = 16384 - 21 * 8;
    pub const SYSCALL: u32 = 15 * 8;
    pub const ARG0: u32 = 14 * 8;
    pub const ARG1: u32 = 13 * 8;
    pub const STACK: u32 = 19;
    /// r14.
    pub const GOROUTINE: u32 = 1;
    /// `cs`: `__USER_CS`, where i386 has `__USER32_CS` (arch/x86/include/asm/segment.h).
    pub const MODE: u32 = 17 * 8;
    pub const MODE_MASK: u32 = 0xffff;
    pub const MODE_NATIVE: u32 = 0x33;
    pub const FOREIGN_BIT: u32 = 0x4000_0000;
}

/// arch/arm64/include/asm/ptrace.h: regs[31] sp pc pstate orig_x0 syscallno. The first argument is in orig_x0 when the call is over.
#[cfg(target_arch = "aarch64")]
mod regs {
    /// It depends on the size of pages there.
    pub const IN_STACK: u32 = 0;
    pub const SYSCALL: u32 = 35 * 8;
    pub const ARG0: u32 = 34 * 8;
    pub const ARG1: u32 = 8;
    pub const STACK: u32 = 31;
    /// x28.
    pub const GOROUTINE: u32 = 28;
    /// `PSR_MODE32_BIT`.
    pub const MODE: u32 = 33 * 8;
    pub const MODE_MASK: u32 = 0x10;
    pub const MODE_NATIVE: u32 = 0;
    pub const FOREIGN_BIT: u32 = 0;
}

/// A kernel's major and minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Of the running kernel.
    pub fn running() -> Version {
        let uname = nix::sys::utsname::uname();
        let release = uname.as_ref().map(|u| u.release().to_string_lossy().into_owned());
        Version::parse(&release.unwrap_or_default()).unwrap_or(Version(0, 0))
    }

    fn parse(release: &str) -> Option<Version> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some(Version(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_to_its_minor_version() {
        assert_eq!(Version::parse("6.18.44-fc-v595"), Some(Version(6, 18)));
        assert_eq!(Version::parse("5.8"), Some(Version(5, 8)));
        assert_eq!(Version::parse("linux"), None);
        assert!(Version(5, 15) < Version(6, 1));
    }
}
