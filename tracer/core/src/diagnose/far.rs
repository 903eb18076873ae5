//! Who has the other end of a descriptor, by the newest snapshot.

use super::scene::Scene;
use crate::event::{
    Access, Descriptor, DescriptorTarget, ProcessState, Snapshot, Socket, UnixSocket,
};
use crate::units::{Inode, Pid};
use std::net::SocketAddr;

/// What joins a process to the one at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    /// A pipe.
    Pipe,
    /// A unix socket, and the path it was reached by.
    Unix(Option<String>),
    /// A connection inside this machine, and where the other end is.
    Tcp(SocketAddr),
}

/// A process at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Far {
    /// The process.
    pub(super) pid: Pid,
    /// What joins them.
    pub(super) by: By,
}

/// The living processes other than `process` that have the other end of `descriptor`. None where that is not known.
pub(super) fn of(scene: &Scene<'_>, process: &ProcessState, descriptor: &Descriptor) -> Vec<Far> {
    let found = match (&descriptor.target, descriptor.access) {
        (DescriptorTarget::Pipe(inode), Some(Access::Read)) => {
            pipe(scene, *inode, |a| a != Some(Access::Read))
        }
        (DescriptorTarget::Pipe(inode), Some(Access::Write)) => {
            pipe(scene, *inode, |a| a == Some(Access::Read))
        }
        (DescriptorTarget::Socket(inode), _) => socket(scene, *inode),
        _ => Vec::new(),
    };
    found.into_iter().filter(|far| far.pid != process.pid).collect()
}

/// The processes at the other end of the connection that `pid` has as this socket.
pub(super) fn of_socket(scene: &Scene<'_>, pid: Pid, inode: Inode) -> Vec<Far> {
    let found = socket(scene, inode);
    // One who has both ends waits for himself, and nobody can say more.
    if found.iter().any(|far| far.pid == pid) { Vec::new() } else { found }
}

fn pipe(scene: &Scene<'_>, inode: Inode, fits: impl Fn(Option<Access>) -> bool) -> Vec<Far> {
    let has = |d: &Descriptor| d.target == DescriptorTarget::Pipe(inode) && fits(d.access);
    let who = scene.living().filter(|p| p.descriptors.iter().any(has));
    who.map(|p| Far { pid: p.pid, by: By::Pipe }).collect()
}

fn socket(scene: &Scene<'_>, inode: Inode) -> Vec<Far> {
    let Some((_, snapshot)) = &scene.session.snapshot else { return Vec::new() };
    if let Some((other, by)) = tcp(snapshot, inode).or_else(|| unix(snapshot, inode)) {
        let has = |d: &Descriptor| d.target == DescriptorTarget::Socket(other);
        let who = scene.living().filter(|p| p.descriptors.iter().any(has));
        return who.map(|p| Far { pid: p.pid, by: by.clone() }).collect();
    }
    Vec::new()
}

/// The socket with the same two addresses the other way round; for a connection that was not accepted, the one that listens.
fn tcp(snapshot: &Snapshot, inode: Inode) -> Option<(Inode, By)> {
    let own = snapshot.sockets.iter().find(|s| s.inode == inode)?;
    let peer = own.peer?;
    let accepted = |s: &&Socket| s.local == peer && s.peer == Some(own.local);
    let serves = |s: &&Socket, at: SocketAddr| {
        s.state == "LISTEN"
            && s.local.port() == at.port()
            && (s.local.ip() == at.ip() || s.local.ip().is_unspecified())
    };
    // What was accepted has the port of a socket that listens: who serves waits for nobody in particular.
    if snapshot.sockets.iter().any(|s| serves(&s, own.local)) {
        return None;
    }
    let sockets = || snapshot.sockets.iter();
    let other = sockets().find(accepted).or_else(|| sockets().find(|s| serves(s, peer)))?;
    Some((other.inode, By::Tcp(peer)))
}

fn unix(snapshot: &Snapshot, inode: Inode) -> Option<(Inode, By)> {
    let own = snapshot.unix.iter().find(|s| s.inode == inode)?;
    if own.path.is_some() || own.listening {
        return None;
    }
    let other = |s: &&UnixSocket| own.peer == Some(s.inode) || s.pending.contains(&inode);
    let other = snapshot.unix.iter().find(other)?;
    Some((other.inode, By::Unix(other.path.clone())))
}
