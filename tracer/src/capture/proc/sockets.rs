//! The TCP and UDP sockets of processes, with the kernel's view of each connection.

use super::diag::{Diag, Protocol};
use super::peek::Peek;
use super::socket_ends::Ends;
use super::tcp_info::{self, end, ends, state_name};
use super::{descriptors, file};
use gmtrace_core::event::{Socket, TcpSample, Transport};
use gmtrace_core::units::{Inode, Pid};
use netlink_packet_sock_diag::inet::{InetResponse, InetResponseHeader};
use procfs::net::{TcpNetEntry, UdpNetEntry};
use procfs::process::Process;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;

/// At most this many sockets are reported.
const MAX_SOCKETS: usize = 16_384;

/// At most this many sockets of a process are asked themselves.
const MAX_PEEKED: usize = 256;

/// Which connections a sample is about.
#[derive(Debug, Clone, Default)]
pub enum SocketFilter {
    /// Those that a descriptor of the processes refers to: costs a look at every descriptor.
    #[default]
    Owned,
    /// Those with these inodes.
    Inodes(HashSet<Inode>),
}

/// Asks the kernel for sockets.
pub(super) struct Sockets {
    /// None where netlink is refused.
    diag: Option<Diag>,
    /// The network namespace that `diag` answers for.
    namespace: Option<String>,
}

impl Sockets {
    pub(super) fn new() -> Sockets {
        Sockets { diag: Diag::open().ok(), namespace: file::link("/proc/thread-self/ns/net").ok() }
    }

    /// Who is at the other end of sockets.
    pub(super) fn ends(&mut self) -> Ends<'_> {
        Ends::new(self.diag.as_mut(), self.namespace.as_deref())
    }

    /// Counters of the TCP connections. Where the kernel gives no TCP_INFO (netlink refused, another network namespace)
    /// there is none to sample.
    pub(super) fn sample(&mut self, pids: &[Pid], filter: &SocketFilter) -> Vec<TcpSample> {
        let owned;
        let wanted = match filter {
            SocketFilter::Inodes(inodes) => inodes,
            SocketFilter::Owned => {
                owned = pids.iter().flat_map(|pid| descriptors::sockets(*pid).unwrap_or_default());
                &owned.collect()
            }
        };
        let Some(diag) = self.diag.as_mut().filter(|_| !wanted.is_empty()) else {
            return Vec::new();
        };
        let mut samples = Vec::new();
        let keep = |header: &InetResponseHeader| wanted.contains(&inode(header));
        // A dump that breaks off leaves what it gave.
        let _partial = diag.dump(Protocol::Tcp, keep, |response| {
            samples.extend(tcp_sample(&response).filter(|_| samples.len() < MAX_SOCKETS));
        });
        samples
    }

    /// The sockets that `owners` have open, by inode. Says in `unseen` what could not be asked.
    pub(super) fn all(
        &mut self,
        owners: &BTreeMap<Pid, Vec<Inode>>,
        unseen: &mut Vec<String>,
    ) -> Vec<Socket> {
        let wanted: HashSet<Inode> = owners.values().flatten().copied().collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut found = BTreeMap::new();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let missing = match self.diag.as_mut() {
                Some(diag) => ask(diag, protocol, &wanted, &mut found).err(),
                None => Some(std::io::Error::from(std::io::ErrorKind::PermissionDenied)),
            };
            if let Some(error) = missing {
                unseen.push(format!(
                    "the kernel's {protocol:?} sockets by netlink: {error}; read from /proc instead, without TCP_INFO"
                ));
                let pids = self.one_of_each_namespace(owners, true);
                read_tables(&pids, protocol, &wanted, &mut found);
            }
        }
        self.other_namespaces(owners, &wanted, &mut found, unseen);
        found.into_values().take(MAX_SOCKETS).collect()
    }

    /// Netlink speaks of its own network namespace only, `/proc/PID/net` of that of the process.
    fn other_namespaces(
        &self,
        owners: &BTreeMap<Pid, Vec<Inode>>,
        wanted: &HashSet<Inode>,
        found: &mut BTreeMap<Inode, Socket>,
        unseen: &mut Vec<String>,
    ) {
        let pids = self.one_of_each_namespace(owners, false);
        let before: HashSet<Inode> = found.keys().copied().collect();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            read_tables(&pids, protocol, wanted, found);
        }
        let of_others = |inode: &Inode| !before.contains(inode);
        for (pid, inodes) in owners {
            let theirs: Vec<Inode> = inodes.iter().copied().filter(of_others).collect();
            peek(*pid, &theirs, found, unseen);
        }
    }

    /// One process for each network namespace; that of gmtrace itself only if `own` is wanted.
    fn one_of_each_namespace(&self, owners: &BTreeMap<Pid, Vec<Inode>>, own: bool) -> Vec<Pid> {
        let mut seen: BTreeSet<String> = self.namespace.iter().filter(|&_| !own).cloned().collect();
        let with_sockets = owners.iter().filter(|(_, inodes)| !inodes.is_empty());
        let pids = with_sockets.map(|(pid, _)| *pid).filter(|pid| {
            file::link(format!("/proc/{pid}/ns/net")).is_ok_and(|namespace| seen.insert(namespace))
        });
        pids.collect()
    }
}

/// Asks the sockets of a process in another network namespace themselves, where that is permitted.
fn peek(pid: Pid, inodes: &[Inode], found: &mut BTreeMap<Inode, Socket>, unseen: &mut Vec<String>) {
    let is_open = |socket: &Socket| {
        socket.protocol == Transport::Tcp && socket.tcp.is_none() && socket.state != "LISTEN"
    };
    let open: Vec<Inode> =
        inodes.iter().copied().filter(|inode| found.get(inode).is_some_and(is_open)).collect();
    if open.is_empty() {
        return;
    }
    let peek = Peek::into(pid);
    let mut refused = None;
    for inode in open.into_iter().take(MAX_PEEKED) {
        let info = match &peek {
            Ok(peek) => peek.tcp_info(inode),
            Err(error) => Err(std::io::Error::from(error.kind())),
        };
        match (info, found.get_mut(&inode)) {
            (Ok(info), Some(socket)) => socket.tcp = Some(info),
            (Err(error), _) => refused = Some(error),
            (Ok(_), None) => {}
        }
    }
    if let Some(error) = refused {
        unseen.push(format!(
            "TCP_INFO of the sockets of process {pid}, which is in another network namespace: {error}"
        ));
    }
}

fn ask(
    diag: &mut Diag,
    protocol: Protocol,
    wanted: &HashSet<Inode>,
    found: &mut BTreeMap<Inode, Socket>,
) -> std::io::Result<()> {
    let keep = |header: &InetResponseHeader| wanted.contains(&inode(header));
    diag.dump(protocol, keep, |response| {
        let socket = socket(protocol, &response);
        found.insert(socket.inode, socket);
    })
}

fn inode(header: &InetResponseHeader) -> Inode {
    Inode(header.inode.into())
}

fn socket(protocol: Protocol, response: &InetResponse) -> Socket {
    let header = &response.header;
    let (local, peer) = ends(&header.socket_id);
    let listening = state_name(header.state) == "LISTEN";
    Socket {
        inode: inode(header),
        protocol: transport(protocol),
        state: state_name(header.state).to_owned(),
        local,
        peer: connected(peer),
        // Of a listening socket these are the length and the limit of its queue of connections.
        receive_queue: if listening { 0 } else { header.recv_queue },
        send_queue: if listening { 0 } else { header.send_queue },
        tcp: tcp_info::of_response(response).filter(|_| !listening),
    }
}

fn tcp_sample(response: &InetResponse) -> Option<TcpSample> {
    let header = &response.header;
    let (local, peer) = ends(&header.socket_id);
    Some(TcpSample {
        inode: inode(header),
        local,
        peer: connected(peer)?,
        state: state_name(header.state).to_owned(),
        tcp: tcp_info::of_response(response)?,
    })
}

fn connected(peer: SocketAddr) -> Option<SocketAddr> {
    (peer.port() != 0).then_some(peer)
}

fn transport(protocol: Protocol) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
    }
}

/// Reads `/proc/PID/net/{tcp,tcp6,udp,udp6}`. A table that is missing (no IPv6) has no sockets.
fn read_tables(
    pids: &[Pid],
    protocol: Protocol,
    wanted: &HashSet<Inode>,
    found: &mut BTreeMap<Inode, Socket>,
) {
    for process in pids.iter().filter_map(|pid| Process::new(pid.0).ok()) {
        let sockets: Vec<Socket> = match protocol {
            Protocol::Tcp => [process.tcp(), process.tcp6()]
                .into_iter()
                .flat_map(Result::unwrap_or_default)
                .map(of_tcp_table)
                .collect(),
            Protocol::Udp => [process.udp(), process.udp6()]
                .into_iter()
                .flat_map(Result::unwrap_or_default)
                .map(of_udp_table)
                .collect(),
        };
        let wanted = sockets.into_iter().filter(|socket| wanted.contains(&socket.inode));
        found.extend(wanted.map(|socket| (socket.inode, socket)));
    }
}

fn of_tcp_table(entry: TcpNetEntry) -> Socket {
    Socket {
        inode: Inode(entry.inode),
        protocol: Transport::Tcp,
        state: state_name(entry.state.to_u8()).to_owned(),
        local: end(entry.local_address.ip(), entry.local_address.port()),
        peer: connected(end(entry.remote_address.ip(), entry.remote_address.port())),
        receive_queue: entry.rx_queue,
        send_queue: entry.tx_queue,
        tcp: None,
    }
}

fn of_udp_table(entry: UdpNetEntry) -> Socket {
    Socket {
        inode: Inode(entry.inode),
        protocol: Transport::Udp,
        state: state_name(entry.state.to_u8()).to_owned(),
        local: end(entry.local_address.ip(), entry.local_address.port()),
        peer: connected(end(entry.remote_address.ip(), entry.remote_address.port())),
        receive_queue: entry.rx_queue,
        send_queue: entry.tx_queue,
        tcp: None,
    }
}
