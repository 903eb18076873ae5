//! Mounts from `/proc/PID/mountinfo`, which answers when the mounts themselves do not.

use super::file;
use gmtrace_core::units::Pid;
use std::borrow::Cow;
use std::io;
use std::path::Path;

/// At most this many mounts are kept.
const MAX_MOUNTS: usize = 65_536;

/// A line of proc_pid_mountinfo(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    pub(super) device: (u32, u32),
    /// The directory of the filesystem that is mounted here.
    pub(super) root: String,
    pub(super) point: String,
    pub(super) kind: String,
    /// Options of the filesystem: the controllers of a cgroup hierarchy.
    pub(super) options: String,
}

/// The mounts that a process sees.
///
/// # Errors
/// Those of reading `/proc/PID/mountinfo`.
pub(super) fn of_process(pid: Pid) -> io::Result<Vec<Mount>> {
    let text = file::text(format!("/proc/{pid}/mountinfo"), file::TABLE)?;
    Ok(text.lines().filter_map(parse).take(MAX_MOUNTS).collect())
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &str) -> Option<Mount> {
    let (head, tail) = line.split_once(" - ")?;
    let mut head = head.split(' ');
    let id = head.next()?.parse().ok()?;
    let (major, minor) = head.nth(1)?.split_once(':')?;
    let (root, point) = (head.next()?, head.next()?);
    let mut tail = tail.split(' ');
    let kind = tail.next()?.to_owned();
    let options = tail.nth(1).unwrap_or_default().to_owned();
    Some(Mount {
        id,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root: unescape(root).into_owned(),
        point: unescape(point).into_owned(),
        kind,
        options,
    })
}

/// Blank, tab, line break and backslash are printed as `\040` and so on (mangle() in fs/proc_namespace.c).
fn unescape(text: &str) -> Cow<'_, str> {
    const ESCAPES: [(&str, &str); 5] =
        [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")];
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        result.push_str(before);
        let known =
            ESCAPES.iter().find_map(|(code, plain)| Some((from.strip_prefix(code)?, plain)));
        rest =
            known.map_or_else(|| from.strip_prefix('\\').unwrap_or_default(), |(after, _)| after);
        result.push_str(known.map_or("\\", |(_, plain)| plain));
    }
    result.push_str(rest);
    Cow::Owned(result)
}

/// Filesystems that somebody else serves, over a network or from a process: when that one is gone, whoever touches them sleeps.
const SERVED: [&str; 14] = [
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "gpfs", "virtiofs",
    "autofs", "vboxsf", "prl_fs",
];

/// Whether `path` lies on a filesystem that may never answer, as far as the table of mounts tells without touching it.
pub fn may_not_answer(path: &Path) -> bool {
    // getcwd(2) touches no filesystem.
    let path = std::env::current_dir().unwrap_or_default().join(path);
    let mounts = of_process(Pid(std::process::id().cast_signed())).unwrap_or_default();
    containing(&mounts, &path.to_string_lossy()).is_some_and(|mount| {
        SERVED.contains(&mount.kind.as_str()) || mount.kind.starts_with("fuse")
    })
}

/// The mount that `path` lies on, by its text alone: the longest mount point, of equals the last, which lies on top.
pub(super) fn containing<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    let path = Path::new(path);
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    above.max_by_key(|mount| Path::new(&mount.point).components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:40 / /home rw,nosuid shared:5 master:1 - nfs4 srv:/x rw,vers=4.2
31 30 0:41 /sub /home/a\\040b\\134\\999 rw - fuse.sshfs x:/ rw
32 30 0:42 / /home rw - tmpfs - rw
";

    fn table() -> Vec<Mount> {
        TABLE.lines().filter_map(parse).collect()
    }

    #[test]
    fn the_longest_mount_point_and_the_topmost() {
        let mounts = table();
        let kind = |path| containing(&mounts, path).map(|mount| mount.kind.as_str());
        assert_eq!(kind("/usr/x"), Some("ext4"));
        assert_eq!(kind("/homer"), Some("ext4"));
        assert_eq!(kind("/home/b"), Some("tmpfs"));
        assert_eq!(kind("/home/a b\\\\999/c"), Some("fuse.sshfs"));
        assert_eq!(kind("relative"), None);
        assert_eq!(mounts[1].device, (0, 40));
        assert_eq!((mounts[2].root.as_str(), mounts[2].id), ("/sub", 31));
    }

    #[test]
    fn garbage_is_left_out() {
        for line in
            ["", " - ", "1 2 3 4 5 6 - x", "x 2 0:1 / / rw - a b c", "1 2 0:1 / - ext4", "1"]
        {
            assert_eq!(parse(line), None, "{line:?}");
        }
        for text in ["\\", "\\\\", "a\\0", "\\0400", "é\\é"] {
            assert!(!unescape(text).is_empty());
        }
        assert_eq!(unescape("\\0400"), " 0");
    }
}
