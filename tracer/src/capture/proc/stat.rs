//! `/proc/PID/stat` and `/proc/PID/status`.

use super::file;
use gmtrace_core::event::Exit;
use gmtrace_core::units::{Nanos, Pid};
use nix::sys::signal::Signal;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// What of proc_pid_stat(5) is of use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) comm: String,
    pub(super) state: char,
    pub(super) ppid: Pid,
    pub(super) group: i32,
    /// Device number of the controlling terminal, 0 without one.
    pub(super) tty: u32,
    /// Foreground process group of that terminal, -1 without one.
    pub(super) foreground_group: i32,
    /// User and system time of all threads, in ticks of 10 ms.
    cpu_ticks: u64,
    /// That of its children that have ended and were waited for, and of theirs.
    children_ticks: u64,
    /// When it started, in ticks after boot.
    pub(super) start_ticks: u64,
    /// Wait status; 0 also where it may not be read.
    pub(super) exit_code: i32,
}

impl Stat {
    /// Reads `stat` of a process (`/proc/PID`) or thread (`/proc/PID/task/TID`).
    pub(super) fn read(directory: impl AsRef<Path>) -> io::Result<Stat> {
        let text = file::text(directory.as_ref().join("stat"), file::SMALL)?;
        Stat::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The name may hold blanks and parentheses, so fields are counted from the last `)`.
    fn parse(text: &str) -> Option<Stat> {
        let (head, tail) = text.rsplit_once(')')?;
        let (_pid, comm) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        let field = |index: usize| fields.get(index).copied();
        let ticks = |index: usize| field(index).and_then(|field| field.parse::<u64>().ok());
        Some(Stat {
            comm: comm.to_owned(),
            state: field(0)?.chars().next()?,
            ppid: Pid(field(1)?.parse().ok()?),
            group: field(2)?.parse().ok()?,
            // Printed as a signed number, as are all device numbers here.
            tty: field(4)?.parse::<i32>().ok()?.cast_unsigned(),
            foreground_group: field(5)?.parse().ok()?,
            cpu_ticks: ticks(11)?.saturating_add(ticks(12)?),
            children_ticks: ticks(13)?.saturating_add(ticks(14)?),
            start_ticks: ticks(19)?,
            exit_code: field(49).and_then(|field| field.parse().ok()).unwrap_or(0),
        })
    }

    /// CPU time of all threads of the process `pid`, whose `stat` this is: by its clock (clock_getcpuclockid(3)), for user and
    /// system time are each told in whole ticks, and 20 ms may seem to pass where one did.
    pub(super) fn cpu_ns(&self, pid: Pid) -> u64 {
        let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(pid.0));
        clock.and_then(clock_gettime).map_or(ticks_to_ns(self.cpu_ticks), to_ns)
    }

    /// That with what its ended children used: who starts one short program after the other does nothing else, and nobody may see one.
    pub(super) fn cpu_ns_with_children(&self, pid: Pid) -> u64 {
        self.cpu_ns(pid).saturating_add(ticks_to_ns(self.children_ticks))
    }

    /// Time since it started.
    pub(super) fn age(&self) -> Nanos {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, to_ns);
        Nanos(now.saturating_sub(ticks_to_ns(self.start_ticks)))
    }

    /// Name of the controlling terminal, as `pts/3` (Documentation/admin-guide/devices.txt).
    pub(super) fn tty_name(&self) -> Option<String> {
        // new_encode_dev(): the minor number lies around the major.
        let major = (self.tty >> 8) & 0xfff;
        let minor = (self.tty & 0xff) | ((self.tty >> 12) & 0xfff00);
        match major {
            0 => None,
            4 if minor < 64 => Some(format!("tty{minor}")),
            4 => Some(format!("ttyS{}", minor - 64)),
            136..=143 => Some(format!("pts/{}", u64::from(major - 136) * 256 + u64::from(minor))),
            _ => Some(format!("{major}:{minor}")),
        }
    }

    /// Whether its process group is the terminal's foreground group; none without a terminal.
    pub(super) fn foreground(&self) -> Option<bool> {
        (self.tty != 0).then_some(self.foreground_group == self.group)
    }

    /// For a zombie, how it ended. The kernel prints 0 to those who may not know, so 0 counts only where `permitted`.
    pub(super) fn exit(&self, permitted: bool) -> Option<Exit> {
        if self.state != 'Z' || (self.exit_code == 0 && !permitted) {
            return None;
        }
        let signal = self.exit_code & 0x7f;
        if signal == 0 {
            return u8::try_from((self.exit_code >> 8) & 0xff).ok().map(Exit::Code);
        }
        let name = Signal::try_from(signal)
            .map_or_else(|_unnamed| format!("SIG{signal}"), |signal| signal.as_str().to_owned());
        Some(Exit::Signal(name))
    }
}

/// What of `/proc/PID/status` `stat` does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Real user.
    pub(super) uid: Option<u32>,
    /// The id in the process's own pid namespace, where that differs.
    pub(super) ns_pid: Option<Pid>,
}

impl Status {
    /// Empty where it cannot be read.
    pub(super) fn read(pid: Pid) -> Status {
        file::text(format!("/proc/{pid}/status"), file::SMALL)
            .map_or_else(|_gone| Status::default(), |text| Status::parse(&text))
    }

    fn parse(text: &str) -> Status {
        // A name with a line break is printed as `\n`, so no name can forge a line.
        let words = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.split_ascii_whitespace())
        };
        let uid = words("Uid:").and_then(|mut words| words.next()?.parse().ok());
        let ns_pid = words("NSpid:").and_then(|words| words.skip(1).last()?.parse().ok()).map(Pid);
        Status { uid, ns_pid }
    }
}

fn to_ns(time: TimeSpec) -> u64 {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn ticks_to_ns(ticks: u64) -> u64 {
    static PER_SECOND: OnceLock<u64> = OnceLock::new();
    let per_second = *PER_SECOND.get_or_init(|| {
        let asked = sysconf(SysconfVar::CLK_TCK).ok().flatten();
        asked.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
    });
    ticks.saturating_mul(1_000_000_000 / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROS: &str = "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0";

    #[test]
    fn a_name_may_look_like_fields() {
        let text = format!(
            "12 (a) R 9 (b)) S 3 4 5 34819 4 0 0 0 0 0 7 8 0 0 20 0 1 0 900 {ZEROS} 256 \n"
        );
        let stat = Stat::parse(&text).unwrap();
        assert_eq!(stat.comm, "a) R 9 (b)");
        assert_eq!((stat.state, stat.ppid, stat.group), ('S', Pid(3), 4));
        assert_eq!((stat.cpu_ticks, stat.start_ticks, stat.exit_code), (15, 900, 256));
        assert_eq!(stat.tty_name().as_deref(), Some("pts/3"));
        assert_eq!(stat.foreground(), Some(true));
    }

    /// proc_pid_stat(5): fields 16 and 17, after the two of the process itself.
    #[test]
    fn what_ended_children_used_is_told_apart() {
        let text =
            format!("12 (sh) S 3 4 5 34819 4 0 0 0 0 0 7 8 30 12 20 0 1 0 900 {ZEROS} 256 \n");
        let stat = Stat::parse(&text).unwrap();
        assert_eq!((stat.cpu_ticks, stat.children_ticks), (15, 42));
    }

    #[test]
    fn garbage_is_none() {
        for text in
            ["", ")", "1 (a", "1 (a) ", "1 (a) S", "1 (a) S x y", ") ( S 1 1 1 1", "\u{fffd}"]
        {
            assert_eq!(Stat::parse(text), None, "{text:?}");
        }
        assert_eq!(Status::parse("Uid:\nNSpid:\nUid: 0 0"), Status::default());
        assert_eq!(Status::parse("Uid:\t99999999999999\nNSpid:\tx\ty"), Status::default());
    }

    /// Ticks would be behind: a process that uses a hundredth of a tick between two readings would seem to use none, or two.
    #[test]
    fn cpu_time_is_finer_than_ticks() {
        let own = Pid(std::process::id().cast_signed());
        let clock = || clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(0, to_ns);
        let before = clock();
        let told = Stat::read(format!("/proc/{own}")).unwrap().cpu_ns(own);
        assert!((before..=clock()).contains(&told), "{told} is not of {before} to now");
    }

    #[test]
    fn the_own_pid_of_another_namespace() {
        let status = Status::parse("Name:\tgo\nUid:\t1000\t0\t0\t0\nNSpid:\t4711\t12\t1\n");
        assert_eq!(status, Status { uid: Some(1000), ns_pid: Some(Pid(1)) });
        assert_eq!(Status::parse("NSpid:\t4711\n").ns_pid, None);
    }

    #[test]
    fn terminals_and_ends() {
        let with = |tty| Stat { tty, ..Stat::default() }.tty_name();
        assert_eq!(with(0), None);
        assert_eq!(with((4 << 8) | 1).as_deref(), Some("tty1"));
        assert_eq!(with((4 << 8) | 65).as_deref(), Some("ttyS1"));
        assert_eq!(with((137 << 8) | 2).as_deref(), Some("pts/258"));
        assert_eq!(with(u32::MAX).as_deref(), Some("4095:1048575"));

        let zombie = |exit_code| Stat { state: 'Z', exit_code, ..Stat::default() };
        assert_eq!(zombie(3 << 8).exit(true), Some(Exit::Code(3)));
        assert_eq!(zombie(9).exit(false), Some(Exit::Signal("SIGKILL".to_owned())));
        assert_eq!(zombie(0).exit(true), Some(Exit::Code(0)));
        assert_eq!(zombie(0).exit(false), None);
        assert_eq!(Stat { exit_code: 256, ..Stat::default() }.exit(true), None);
    }
}
