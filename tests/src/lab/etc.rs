//! The files in `/etc` by which names become addresses, private to a lab.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use tempfile::TempDir;

use super::Lab;

/// For libc; the names of users are not asked for elsewhere either.
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// Files that lie over those of the machine, in the mount namespace of the lab alone.
#[derive(Debug)]
pub(super) struct Etc(TempDir);

impl Etc {
    pub(super) fn replace() -> Result<Self> {
        let etc = Self(tempfile::tempdir()?);
        etc.put("hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
        etc.put("resolv.conf", "nameserver 127.0.0.1\n")?;
        if Path::new("/etc/nsswitch.conf").exists() {
            etc.put("nsswitch.conf", NSSWITCH)?;
        }
        Ok(etc)
    }

    /// A bind mount keeps the i-node, so that later writes to the file show through. A symbolic link is followed: where
    /// systemd-resolved keeps `/etc/resolv.conf`, its target is what is covered.
    fn put(&self, name: &str, content: &str) -> Result<()> {
        let (ours, theirs) = (self.file(name), Path::new("/etc").join(name));
        fs::write(&ours, content)?;
        mount(Some(&ours), &theirs, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("cannot put a file over {}", theirs.display()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Lab {
    /// Gives a name an address, in `/etc/hosts`, and the address to `lo`. A name may have several; they are tried in
    /// the order given.
    ///
    /// # Errors
    /// When the address is none.
    pub fn host(&self, name: &str, address: &str) -> Result<()> {
        self.name(name, address)?;
        self.address(address)
    }

    /// Gives a name an address in `/etc/hosts` alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn name(&self, name: &str, address: &str) -> Result<()> {
        let mut hosts = fs::OpenOptions::new().append(true).open(self.etc.file("hosts"))?;
        Ok(writeln!(hosts, "{address} {name}")?)
    }

    /// Makes these the nameservers of `/etc/resolv.conf`. They are asked on port 53.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn resolvers(&self, addresses: &[&str]) -> Result<()> {
        self.resolv_conf(
            &addresses.iter().map(|address| format!("nameserver {address}\n")).collect::<String>(),
        )
    }

    /// Replaces `/etc/resolv.conf`. Go reads it again at most every 5 seconds, but always when it starts.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn resolv_conf(&self, content: &str) -> Result<()> {
        Ok(fs::write(self.etc.file("resolv.conf"), content)?)
    }

    /// A filesystem of this many bytes at `directory`, which must exist.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn tmpfs(&self, directory: &Path, bytes: u64) -> Result<()> {
        let size = format!("size={bytes}");
        mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))
            .with_context(|| format!("cannot mount a tmpfs at {}", directory.display()))
    }
    /// Nobody may write below this directory any more, root included, until what is returned is dropped.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read_only(&self, directory: &Path) -> Result<ReadOnly> {
        let bind = |flags| mount(Some(directory), directory, None::<&str>, flags, None::<&str>);
        let bound = || -> Result<()> {
            bind(MsFlags::MS_BIND)?;
            // In a user namespace what was forbidden has to stay so (mount_namespaces(7)); the bits are the same.
            let forbidden = FsFlags::ST_NOSUID | FsFlags::ST_NODEV | FsFlags::ST_NOEXEC;
            let kept = statvfs(directory)?.flags() & forbidden;
            let kept = MsFlags::from_bits_truncate(kept.bits());
            Ok(bind(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept)?)
        };
        bound().with_context(|| format!("cannot make {} read-only", directory.display()))?;
        Ok(ReadOnly(directory.to_owned()))
    }
}

/// A directory below which nobody may write.
#[derive(Debug)]
pub struct ReadOnly(PathBuf);

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // The mount is gone with the lab in any case; without it, the directory can be removed.
        let _gone = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
