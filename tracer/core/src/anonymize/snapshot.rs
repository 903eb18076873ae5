//! What is true at one moment.

use super::names::Names;
use crate::event::{DescriptorTarget, Filesystem, ProcessRole, ProcessState, Snapshot};

impl Names {
    pub(super) fn snapshot(&mut self, snapshot: &mut Snapshot) {
        let Snapshot {
            cause: _,
            processes,
            sockets,
            unix,
            terminals: _,
            runnable: _,
            locks: _,
            cgroups,
            filesystems,
            partial,
            unseen,
        } = snapshot;
        processes.iter_mut().for_each(|p| self.process(p));
        for socket in sockets {
            socket.local = self.socket(socket.local);
            socket.peer = socket.peer.map(|p| self.socket(p));
        }
        for socket in unix {
            socket.path = socket.path.as_deref().map(|path| self.unix_path(path));
        }
        cgroups.iter_mut().for_each(|c| c.path = self.path(&c.path));
        filesystems.iter_mut().for_each(|f| self.filesystem(f));
        partial.iter_mut().for_each(|note| *note = self.path(note));
        unseen.iter_mut().for_each(|u| *u = self.text(u));
    }

    fn process(&mut self, process: &mut ProcessState) {
        process.comm = self.part(&process.comm);
        for path in [&mut process.exe, &mut process.cwd, &mut process.cgroup].into_iter().flatten()
        {
            *path = self.path(path);
        }
        self.argv(&mut process.argv);
        if let Some(go) = &mut process.go {
            self.goroutines(go, process.role == ProcessRole::Go);
        }
        if let Some(starter) = &mut process.started_by {
            starter.name = self.part(&starter.name);
        }
        for descriptor in &mut process.descriptors {
            match &mut descriptor.target {
                DescriptorTarget::File(path) => *path = self.path(path),
                DescriptorTarget::Anon(name) => *name = self.text(name),
                DescriptorTarget::Socket(_)
                | DescriptorTarget::Pipe(_)
                | DescriptorTarget::Tty(_) => {}
            }
        }
    }

    /// An abstract name is no path.
    fn unix_path(&mut self, path: &str) -> String {
        match path.strip_prefix('@') {
            Some(name) => format!("@{}", self.text(name)),
            None => self.path(path),
        }
    }

    /// Its purpose and its kind stay.
    fn filesystem(&mut self, filesystem: &mut Filesystem) {
        filesystem.path = self.path(&filesystem.path);
        filesystem.mount = filesystem.mount.as_deref().map(|m| self.path(m));
    }
}
