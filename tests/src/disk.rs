//! Filesystems that misbehave, served by the test itself over FUSE.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, Request,
};
use nix::mount::{MsFlags, mount};

use crate::lab::Lab;
use crate::servers::Log;

/// What the kernel may remember of a file. Long, so that the root of a disk that has died is still there.
const REMEMBER: Duration = Duration::from_secs(3600);

/// A disk that answers for its root and for nothing else: whoever asks for a name in it sleeps where no signal wakes him.
#[derive(Debug)]
pub struct DeadDisk {
    asked: Arc<Log<String>>,
    abort: PathBuf,
    _session: BackgroundSession,
}

impl DeadDisk {
    /// Mounts one at `directory`, which must exist.
    ///
    /// # Errors
    /// When there is no FUSE, or this user may not mount.
    pub fn mount(lab: &Lab, directory: &Path) -> Result<Self> {
        let asked = Arc::new(Log::default());
        let session = fuser::spawn_mount(Dead(Arc::clone(&asked)), directory, &Config::default())
            .with_context(|| {
            format!("cannot mount a FUSE filesystem at {}", directory.display())
        })?;
        // The kernel has looked at the root: from now on it needs no answer for that.
        fs::metadata(directory)?;
        Ok(Self { asked, abort: lab.fuse_abort(directory)?, _session: session })
    }

    /// Waits until somebody has asked for a name in it, and so waits for ever.
    ///
    /// # Errors
    /// When nobody does.
    pub fn wait_for(&self, name: &str) -> Result<()> {
        self.asked.wait_for(&format!("a look for {name}"), |asked| asked == name).map(drop)
    }

    /// Ends the connection to the kernel: all who wait get ENOTCONN.
    ///
    /// # Errors
    /// As write(2).
    pub fn abort(&self) -> Result<()> {
        fs::write(&self.abort, "1").context("abort of a FUSE connection")
    }
}

impl Drop for DeadDisk {
    fn drop(&mut self) {
        // Gone already, after an abort.
        let _ = self.abort();
    }
}

struct Dead(Arc<Log<String>>);

impl Filesystem for Dead {
    fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&REMEMBER, &directory());
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.0.push(name.to_string_lossy().into_owned());
        // A reply that is dropped would answer EIO.
        std::mem::forget(reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.0.push("statfs".to_owned());
        std::mem::forget(reply);
    }
}

/// A disk with one file, `go.mod`, that can be read; locks it refuses, as NFS does without a lock service (ENOLCK).
#[derive(Debug)]
pub struct LocklessDisk {
    _session: BackgroundSession,
}

impl LocklessDisk {
    /// Mounts one at `directory`, which must exist, with this as its go.mod.
    ///
    /// # Errors
    /// When there is no FUSE, or this user may not mount.
    pub fn mount(_: &Lab, directory: &Path, go_mod: &str) -> Result<Self> {
        let session =
            fuser::spawn_mount(Lockless(go_mod.to_owned()), directory, &Config::default())
                .with_context(|| {
                    format!("cannot mount a FUSE filesystem at {}", directory.display())
                })?;
        Ok(Self { _session: session })
    }
}

const GO_MOD: INodeNo = INodeNo(2);

struct Lockless(String);

impl Lockless {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        if inode == INodeNo::ROOT {
            return directory();
        }
        FileAttr {
            ino: GO_MOD,
            size: self.0.len() as u64,
            kind: FileType::RegularFile,
            perm: 0o644,
            ..directory()
        }
    }
}

impl Filesystem for Lockless {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Without this the kernel keeps the locks itself.
        config
            .add_capabilities(InitFlags::FUSE_FLOCK_LOCKS)
            .map_err(|_| std::io::Error::other("a kernel without flock over FUSE"))
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == "go.mod" {
            reply.entry(&REMEMBER, &self.attributes(GO_MOD), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&REMEMBER, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let to = from.saturating_add(size as usize).min(self.0.len());
        reply.data(&self.0.as_bytes()[from..to]);
    }

    fn setlk(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        _: i32,
        _: u32,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOLCK);
    }
}

fn directory() -> FileAttr {
    FileAttr {
        ino: INodeNo::ROOT,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::Directory,
        perm: 0o755,
        nlink: 2,
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Lab {
    /// The file that ends the FUSE connection of the mount at `directory` (fusectl: `connections/N/abort`, where N is the minor
    /// number of its device).
    fn fuse_abort(&self, directory: &Path) -> Result<PathBuf> {
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        let line = table
            .lines()
            .rev()
            .find(|line| line.split(' ').nth(4).is_some_and(|point| Path::new(point) == directory));
        let device =
            line.and_then(|line| line.split(' ').nth(2)).context("a mount in mountinfo")?;
        let number = device.split(':').nth(1).context("a minor number")?;
        let control = tempfile::tempdir()?.keep();
        mount(None::<&str>, &control, Some("fusectl"), MsFlags::empty(), None::<&str>)?;
        Ok(control.join(number).join("abort"))
    }
}
