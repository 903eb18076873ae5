//! Which socket of this machine is at the other end of another one.

use super::diag::Diag;
use super::file;
use super::tcp_info::{end, ends, state_name};
use gmtrace_core::event::UnixSocket;
use gmtrace_core::units::{Inode, Pid};
use netlink_packet_sock_diag::unix::UnixResponse;
use netlink_packet_sock_diag::unix::nlas::{Nla, UnixDiagName};
use procfs::process::Process;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

/// At most this many sockets of a kind are remembered.
const MAX_SOCKETS: usize = 262_144;

/// `LISTEN` in the kernel's numbers (include/net/tcp_states.h), which unix sockets use as well.
const LISTEN: u8 = 10;

/// The tables of sockets, read when they are first asked for.
pub(super) struct Ends<'a> {
    diag: Option<&'a mut Diag>,
    /// The network namespace that `diag` answers for.
    own: Option<&'a str>,
    /// By network namespace.
    tcp: BTreeMap<String, Tcp>,
    unix: Option<HashMap<Inode, UnixSocket>>,
}

/// The TCP sockets of a network namespace.
#[derive(Debug, Default)]
struct Tcp {
    connected: HashMap<Inode, (SocketAddr, SocketAddr)>,
    /// By local and other address. The inode is 0 until the connection is accepted.
    by_addresses: HashMap<(SocketAddr, SocketAddr), Inode>,
    listening: Vec<(SocketAddr, Inode)>,
}

impl<'a> Ends<'a> {
    pub(super) fn new(diag: Option<&'a mut Diag>, own: Option<&'a str>) -> Ends<'a> {
        Ends { diag, own, tcp: BTreeMap::new(), unix: None }
    }

    /// The socket at the other end of one that process `pid` has, where that is in this machine and `pid` is the one that
    /// connected: those who serve wait for nobody in particular. For a connection that was not accepted, the socket that
    /// listens.
    pub(super) fn other_end(&mut self, pid: Pid, inode: Inode) -> Option<Inode> {
        let namespace = file::link(format!("/proc/{pid}/ns/net")).ok()?;
        if !self.tcp.contains_key(&namespace) {
            let table = self.read_tcp(pid, &namespace);
            self.tcp.insert(namespace.clone(), table);
        }
        let tcp = self.tcp.get(&namespace)?;
        if tcp.connected.contains_key(&inode) {
            return tcp.other_end(inode);
        }
        let unix = self.unix();
        let socket = unix.get(&inode).filter(|s| s.path.is_none() && !s.listening)?;
        socket.peer.or_else(|| {
            let mut listening = unix.values().filter(|s| s.listening);
            listening.find(|s| s.pending.contains(&inode)).map(|s| s.inode)
        })
    }

    /// The unix sockets among `inodes`, and those at their other ends; in the order of their inodes. None where nobody asked for
    /// a socket.
    pub(super) fn unix_of(&self, inodes: &HashSet<Inode>) -> Vec<UnixSocket> {
        let known = self.unix.iter().flat_map(HashMap::values);
        let mut found: Vec<UnixSocket> =
            known.filter(|s| inodes.contains(&s.inode)).cloned().collect();
        found.sort_by_key(|s| s.inode);
        found
    }

    fn unix(&mut self) -> &HashMap<Inode, UnixSocket> {
        let diag = self.diag.as_deref_mut();
        self.unix.get_or_insert_with(|| {
            let mut all = HashMap::new();
            if let Some(diag) = diag {
                // A dump that breaks off leaves what it gave.
                let _partial = diag.walk_unix(|response| {
                    if all.len() < MAX_SOCKETS {
                        let socket = unix_socket(&response);
                        all.insert(socket.inode, socket);
                    }
                });
            }
            all
        })
    }

    fn read_tcp(&mut self, pid: Pid, namespace: &str) -> Tcp {
        let mut table = Tcp::default();
        match self.diag.as_deref_mut().filter(|_| self.own == Some(namespace)) {
            Some(diag) => {
                let _partial = diag.walk_tcp(|header| {
                    let (local, peer) = ends(&header.socket_id);
                    table.add(Inode(header.inode.into()), local, peer, header.state == LISTEN);
                });
            }
            None => table.add_from_proc(pid),
        }
        table
    }
}

impl Tcp {
    fn add(&mut self, inode: Inode, local: SocketAddr, peer: SocketAddr, listening: bool) {
        if self.by_addresses.len() + self.listening.len() >= MAX_SOCKETS {
            return;
        }
        if listening {
            self.listening.push((local, inode));
            return;
        }
        if inode.0 != 0 {
            self.connected.insert(inode, (local, peer));
        }
        self.by_addresses.insert((local, peer), inode);
    }

    /// Netlink speaks of its own network namespace only, `/proc/PID/net` of that of the process.
    fn add_from_proc(&mut self, pid: Pid) {
        let Ok(process) = Process::new(pid.0) else { return };
        let entries =
            [process.tcp(), process.tcp6()].into_iter().flat_map(Result::unwrap_or_default);
        for entry in entries {
            let local = end(entry.local_address.ip(), entry.local_address.port());
            let peer = end(entry.remote_address.ip(), entry.remote_address.port());
            let listening = state_name(entry.state.to_u8()) == "LISTEN";
            self.add(Inode(entry.inode), local, peer, listening);
        }
    }

    fn other_end(&self, inode: Inode) -> Option<Inode> {
        let (local, peer) = *self.connected.get(&inode)?;
        // What was accepted has the port of a socket that listens.
        if self.listener(local).is_some() {
            return None;
        }
        let accepted = self.by_addresses.get(&(peer, local)).copied().filter(|inode| inode.0 != 0);
        let here = peer.ip().is_loopback() || peer.ip() == local.ip();
        accepted.or_else(|| self.listener(peer).filter(|_| here))
    }

    fn listener(&self, at: SocketAddr) -> Option<Inode> {
        let serves = |local: &SocketAddr| {
            local.port() == at.port() && (local.ip() == at.ip() || local.ip().is_unspecified())
        };
        self.listening.iter().find(|(local, _)| serves(local)).map(|(_, inode)| *inode)
    }
}

fn unix_socket(response: &UnixResponse) -> UnixSocket {
    let mut socket = UnixSocket {
        inode: Inode(response.header.inode.into()),
        listening: response.header.state == LISTEN,
        ..UnixSocket::default()
    };
    for nla in &response.nlas {
        match nla {
            Nla::Peer(inode) if *inode != 0 => socket.peer = Some(Inode((*inode).into())),
            Nla::Name(UnixDiagName::Pathname(path)) => {
                socket.path = Some(path.to_string_lossy().into_owned());
            }
            Nla::Name(UnixDiagName::Abstract(name)) => {
                socket.path = Some(format!("@{}", String::from_utf8_lossy(name)));
            }
            Nla::PendingConnections(inodes) => {
                let inodes = inodes.iter().filter(|inode| **inode != 0);
                socket.pending = inodes.map(|inode| Inode((*inode).into())).collect();
            }
            _ => {}
        }
    }
    socket
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_other_end_is_who_accepted_or_who_listens_and_a_server_has_none() {
        let mut tcp = Tcp::default();
        tcp.add(Inode(1), at("0.0.0.0:80"), at("0.0.0.0:0"), true);
        tcp.add(Inode(2), at("127.0.0.1:5000"), at("127.0.0.1:80"), false);
        tcp.add(Inode(3), at("127.0.0.1:80"), at("127.0.0.1:5000"), false);
        tcp.add(Inode(4), at("127.0.0.1:5001"), at("127.0.0.1:80"), false);
        tcp.add(Inode(0), at("127.0.0.1:80"), at("127.0.0.1:5001"), false);
        tcp.add(Inode(5), at("10.0.0.1:5002"), at("10.0.0.2:80"), false);
        assert_eq!(tcp.other_end(Inode(2)), Some(Inode(3)));
        assert_eq!(tcp.other_end(Inode(3)), None, "it serves");
        assert_eq!(tcp.other_end(Inode(4)), Some(Inode(1)), "not accepted yet");
        assert_eq!(tcp.other_end(Inode(5)), None, "another machine");
        assert_eq!(tcp.other_end(Inode(6)), None);
    }
}
