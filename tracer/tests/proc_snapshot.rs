//! What `capture::proc` says of real processes, locks, sockets and mounts.
//!
//! The processes are this test program again, in the part named by `GMTRACE_TEST_PART`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something fails"
)]

use gmtrace::capture::proc::{Proc, SnapshotWants, SocketFilter, still_in_lock, watch_destroyed};
use gmtrace_core::event::{
    Descriptor, DescriptorTarget, Event, Exit, LockKind, LockMode, ProcessRole, ProcessState,
    Snapshot, SnapshotCause, Socket, Transport, What,
};
use gmtrace_core::units::{Inode, Nanos, Pid, Tid};
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, connect, listen, socket,
};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use std::collections::HashSet;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

const PART: &str = "GMTRACE_TEST_PART";

/// A child that runs a part of this program, and what it says.
struct Actor {
    child: Child,
    /// Closed, it lets the child end.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Actor {
    fn start(part: &str, words: &[&str]) -> Actor {
        Actor::run(part_command(&env::current_exe().unwrap(), part, words))
    }

    /// The same below unshare(1).
    fn unshared(options: &[&str], part: &str) -> Actor {
        let part = part_command(&env::current_exe().unwrap(), part, &[]);
        let mut command = Command::new("unshare");
        command.args(options).arg(part.get_program()).args(part.get_args());
        command.envs(part.get_envs().filter_map(|(key, value)| Some((key, value?))));
        Actor::run(command)
    }

    fn run(mut command: Command) -> Actor {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Actor { child, stdin, stdout }
    }

    fn pid(&self) -> Pid {
        Pid(self.child.id().cast_signed())
    }

    /// What follows `word` on the first line that has it.
    fn hear(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("the child ended without saying {word}");
    }

    /// Returns once some thread of the child waits for a lock.
    fn wait_for_lock(&self) -> Tid {
        loop {
            for entry in fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap() {
                let tid = Tid(entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
                if still_in_lock(self.pid(), tid) == Some(true) {
                    return tid;
                }
            }
            thread::yield_now();
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stdin = None;
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn part_command(program: &Path, part: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "part", "--include-ignored", "--nocapture"]);
    command.env(PART, [&[part], words].concat().join("\n"));
    command
}

/// What the children do.
#[test]
#[ignore = "a part of the other tests"]
fn part() {
    let Ok(words) = env::var(PART) else { return };
    let words: Vec<&str> = words.lines().collect();
    match words[..] {
        ["idle"] => idle(),
        ["hold", path] => {
            let held = lock(path);
            idle();
            drop(held);
        }
        ["wait", path] => {
            println!("trying");
            drop(lock(path));
        }
        ["hold and wait", held, waited] => {
            let held = lock(held);
            println!("trying");
            drop(lock(waited));
            drop(held);
        }
        ["leave the lock to a child", path] => leave_lock_to_child(path),
        ["listen"] => {
            let listener = TcpListener::bind("0.0.0.0:0").unwrap();
            println!("port {}", listener.local_addr().unwrap().port());
            idle();
        }
        ["look at", pid] => look_at(Pid(pid.parse().unwrap())),
        ["dead filesystem"] => dead_filesystem(),
        ["locks in a pid namespace"] => unlisted_lock(),
        _ => panic!("unknown part {words:?}"),
    }
}

fn idle() {
    println!("ready {}", std::process::id());
    let _end = stdin().read(&mut [0]);
}

fn lock(path: &str) -> Flock<File> {
    Flock::lock(File::options().write(true).open(path).unwrap(), FlockArg::LockExclusive).unwrap()
}

fn leave_lock_to_child(path: &str) {
    let held = lock(path);
    fcntl(&*held, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let _child = part_command(&env::current_exe().unwrap(), "idle", &[]).spawn().unwrap();
    // Not unlocked: the child has the open file.
    std::process::exit(0);
}

fn own() -> Pid {
    Pid(std::process::id().cast_signed())
}

fn snapshot(root: Pid, known: &[Pid]) -> Snapshot {
    Proc::new().snapshot(SnapshotCause::Asked, root, known, &SnapshotWants::default())
}

fn process(snapshot: &Snapshot, pid: Pid) -> &ProcessState {
    let found = snapshot.processes.iter().find(|process| process.pid == pid);
    found.unwrap_or_else(|| panic!("no process {pid} in {snapshot:#?}"))
}

/// The descriptors of `path` that hold a lock.
fn holding<'a>(snapshot: &'a Snapshot, path: &str) -> Vec<(&'a ProcessState, &'a Descriptor)> {
    let target = DescriptorTarget::File(path.to_owned());
    let all = snapshot.processes.iter().flat_map(|p| p.descriptors.iter().map(move |d| (p, d)));
    all.filter(|(_, d)| d.target == target && !d.locks.is_empty()).collect()
}

fn socket_at(snapshot: &Snapshot, local: SocketAddr, peer: Option<SocketAddr>) -> &Socket {
    let found = snapshot.sockets.iter().find(|s| s.local == local && s.peer == peer);
    found.unwrap_or_else(|| panic!("no {local} to {peer:?} in {:#?}", snapshot.sockets))
}

fn lock_file() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("v1.0.0.lock");
    File::create(&path).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn the_holder_of_a_lock_is_found_outside_of_the_tree() {
    let (_directory, path) = lock_file();
    let mut holder = Actor::start("hold", &[&path]);
    holder.hear("ready");
    let mut waiter = Actor::start("wait", &[&path]);
    waiter.hear("trying");
    let tid = waiter.wait_for_lock();

    let snapshot = snapshot(waiter.pid(), &[]);
    let waiting = process(&snapshot, waiter.pid());
    assert!(waiting.in_tree);
    let thread = waiting.threads.iter().find(|thread| thread.tid == tid).unwrap();
    assert_eq!(thread.syscall.as_ref().unwrap().name, "flock");
    assert_eq!(thread.state, 'S');

    let [(held_by, descriptor)] = holding(&snapshot, &path)[..] else { panic!("{snapshot:#?}") };
    assert_eq!((held_by.pid, held_by.in_tree), (holder.pid(), false));
    let [lock] = &descriptor.locks[..] else { panic!("{descriptor:?}") };
    assert_eq!((lock.kind, lock.mode), (LockKind::Flock, LockMode::Exclusive));
    assert_eq!(lock.pid, holder.pid());

    let of_file: Vec<_> = snapshot.locks.iter().filter(|line| line.file == lock.file).collect();
    let [held, wanted] = &of_file[..] else { panic!("{of_file:?}") };
    assert_eq!((held.pid, held.waiting), (holder.pid(), false));
    assert_eq!((wanted.pid, wanted.waiting, wanted.id), (waiter.pid(), true, held.id));

    assert_eq!(still_in_lock(waiter.pid(), tid), Some(true));
    holder.stdin = None;
    waiter.child.wait().unwrap();
    assert_eq!(still_in_lock(waiter.pid(), tid), None);
}

#[test]
fn a_lock_is_found_with_the_child_of_a_dead_locker() {
    let (_directory, path) = lock_file();
    let mut locker = Actor::start("leave the lock to a child", &[&path]);
    let heir = Pid(locker.hear("ready").parse().unwrap());
    let stdin = locker.stdin.take();
    locker.child.wait().unwrap();
    let mut waiter = Actor::start("wait", &[&path]);
    waiter.hear("trying");
    waiter.wait_for_lock();

    let snapshot = snapshot(waiter.pid(), &[]);
    let [(held_by, descriptor)] = holding(&snapshot, &path)[..] else { panic!("{snapshot:#?}") };
    assert_eq!((held_by.pid, held_by.in_tree), (heir, false));
    assert_eq!(descriptor.locks[0].pid, locker.pid(), "the kernel names the dead one");

    drop(stdin);
    waiter.child.wait().unwrap();
}

#[test]
fn in_a_pid_namespace_the_lock_table_may_be_empty() {
    let options = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let mut other = Actor::unshared(&options, "locks in a pid namespace");
    assert_eq!(other.hear("the lock is"), "found");
    assert!(other.child.wait().unwrap().success());
}

/// The locker is dead, so it has no pid here: the kernel prints its lock in fdinfo alone.
fn unlisted_lock() {
    let (_directory, path) = lock_file();
    let mut locker = Actor::start("leave the lock to a child", &[&path]);
    let heir = Pid(locker.hear("ready").parse().unwrap());
    let stdin = locker.stdin.take();
    locker.child.wait().unwrap();
    let mut waiter = Actor::start("wait", &[&path]);
    waiter.hear("trying");
    waiter.wait_for_lock();
    assert_eq!(fs::read_to_string("/proc/locks").unwrap(), "");

    let snapshot = snapshot(waiter.pid(), &[]);
    let [(held_by, descriptor)] = holding(&snapshot, &path)[..] else { panic!("{snapshot:#?}") };
    assert_eq!((held_by.pid, held_by.in_tree), (heir, false));
    assert_eq!(descriptor.locks[0].pid, Pid(0));
    let [wanted] = &snapshot.locks[..] else { panic!("{:?}", snapshot.locks) };
    assert_eq!((wanted.id, wanted.waiting, wanted.pid), (0, true, waiter.pid()));
    assert_eq!((&wanted.file, wanted.mode), (&descriptor.locks[0].file, LockMode::Exclusive));

    drop(stdin);
    waiter.child.wait().unwrap();
    println!("the lock is found");
}

#[test]
fn a_chain_of_locks_is_followed_to_its_end() {
    let (_one, first) = lock_file();
    let (_two, second) = lock_file();
    let mut last = Actor::start("hold", &[&second]);
    last.hear("ready");
    let mut middle = Actor::start("hold and wait", &[&first, &second]);
    middle.hear("trying");
    middle.wait_for_lock();
    let mut waiter = Actor::start("wait", &[&first]);
    waiter.hear("trying");
    waiter.wait_for_lock();

    let snapshot = snapshot(waiter.pid(), &[]);
    let [(by, _)] = holding(&snapshot, &first)[..] else { panic!("{snapshot:#?}") };
    assert_eq!(by.pid, middle.pid());
    let [(by, _)] = holding(&snapshot, &second)[..] else { panic!("{snapshot:#?}") };
    assert_eq!(by.pid, last.pid());

    last.stdin = None;
    waiter.child.wait().unwrap();
}

#[test]
fn connections_have_the_kernels_counters() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(&[1; 100]).unwrap();
    server.read_exact(&mut [0; 100]).unwrap();
    server.write_all(&[2; 70]).unwrap();
    client.read_exact(&mut [0; 50]).unwrap();

    let snapshot = snapshot(own(), &[]);
    let (local, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let found = socket_at(&snapshot, local, Some(peer));
    assert_eq!((found.protocol, found.state.as_str()), (Transport::Tcp, "ESTABLISHED"));
    assert_eq!((found.receive_queue, found.send_queue), (20, 0));
    let tcp = found.tcp.unwrap();
    assert_eq!((tcp.bytes_acked, tcp.bytes_received), (100, 70));
    assert_eq!((tcp.retransmits, tcp.probes, tcp.unacked, tcp.not_sent), (0, 0, 0, 0));
    assert!(tcp.rtt_us > 0);
    assert!(process(&snapshot, own()).descriptors.iter().any(|descriptor| {
        descriptor.fd.0 == client.as_raw_fd()
            && descriptor.target == DescriptorTarget::Socket(found.inode)
    }));
    let listening = socket_at(&snapshot, listener.local_addr().unwrap(), None);
    assert_eq!((listening.state.as_str(), listening.tcp), ("LISTEN", None));

    let mut proc = Proc::new();
    let wanted = SocketFilter::Inodes(HashSet::from([found.inode]));
    let sample = proc.sample(&[own()], &wanted);
    let [connection] = &sample.connections[..] else { panic!("{sample:?}") };
    assert_eq!((connection.inode, connection.local, connection.peer), (found.inode, local, peer));
    assert_eq!(connection.tcp.bytes_received, 70);
    assert_eq!(sample.processes[0].pid, own());
    let owned = proc.sample(&[own()], &SocketFilter::Owned);
    assert!(owned.connections.iter().any(|connection| connection.inode == found.inode));
    let none = proc.sample(&[own()], &SocketFilter::Inodes(HashSet::from([Inode(u64::MAX)])));
    assert_eq!(none.connections, []);

    drop(server);
    client.read_to_end(&mut Vec::new()).unwrap();
    let closed = proc.sample(&[own()], &wanted);
    assert_eq!(closed.connections[0].state, "CLOSE_WAIT");
    assert_eq!(closed.connections[0].tcp.bytes_received, 70, "the FIN is no byte");
}

#[test]
fn a_syn_without_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    // The first fills the queue; from then on the kernel drops SYNs.
    let first = TcpStream::connect(address).unwrap();
    let second: OwnedFd =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
    let target = SockaddrStorage::from(address);
    assert_eq!(connect(second.as_raw_fd(), &target), Err(nix::errno::Errno::EINPROGRESS));

    let second = TcpStream::from(second);
    let found = snapshot(own(), &[]);
    let found = socket_at(&found, second.local_addr().unwrap(), Some(address));
    assert_eq!(found.state, "SYN_SENT");
    let tcp = found.tcp.unwrap();
    assert_eq!((tcp.bytes_acked, tcp.bytes_received, tcp.unacked), (0, 0, 1));
    drop(first);
}

#[test]
fn udp_sockets_with_and_without_a_peer() {
    let server = UdpSocket::bind("[::1]:0").unwrap();
    let client = UdpSocket::bind("[::1]:0").unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    client.send(&[0; 40]).unwrap();

    let snapshot = snapshot(own(), &[]);
    let peer = client.peer_addr().unwrap();
    let found = socket_at(&snapshot, client.local_addr().unwrap(), Some(peer));
    assert_eq!((found.protocol, found.tcp), (Transport::Udp, None));
    let found = socket_at(&snapshot, server.local_addr().unwrap(), None);
    assert!(found.receive_queue >= 40, "{found:?}");
}

#[test]
fn a_pipe_a_terminal_and_who_is_in_front() {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let name = fs::read_link(format!("/proc/self/fd/{}", terminal.slave.as_raw_fd())).unwrap();
    let name = name.strip_prefix("/dev").unwrap().to_str().unwrap().to_owned();
    // setsid makes the terminal on standard input the controlling one.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-c", "read line; :"]);
    let mut child = command.stdin(terminal.slave).stdout(Stdio::piped()).spawn().unwrap();
    let root = Pid(child.id().cast_signed());
    let reading = |process: &&ProcessState| {
        let mut syscalls = process.threads.iter().filter_map(|thread| thread.syscall.as_ref());
        process.comm == "sh" && syscalls.any(|syscall| syscall.name == "read")
    };
    let shell = loop {
        if let Some(shell) = snapshot(root, &[]).processes.iter().find(reading) {
            break shell.clone();
        }
    };
    assert_eq!(shell.tty.as_deref(), Some(name.as_str()));
    assert_eq!(shell.foreground, Some(true));
    let target = |fd: usize| &shell.descriptors[fd].target;
    assert_eq!(target(0), &DescriptorTarget::Tty(name));
    assert!(matches!(target(1), DescriptorTarget::Pipe(_)), "{shell:#?}");

    kill(nix::unistd::Pid::from_raw(shell.pid.0), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    drop(terminal.master);
}

#[test]
fn a_zombie_a_stopped_child_and_their_place_in_the_tree() {
    let mut zombie = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
    let zombie_pid = Pid(zombie.id().cast_signed());
    let id = Id::Pid(nix::unistd::Pid::from_raw(zombie_pid.0));
    waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    let mut stopped = Actor::start("idle", &[]);
    stopped.hear("ready");
    let id = nix::unistd::Pid::from_raw(stopped.pid().0);
    kill(id, Signal::SIGSTOP).unwrap();
    waitid(Id::Pid(id), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT).unwrap();

    let seen = snapshot(own(), &[]);
    let state = process(&seen, zombie_pid);
    assert_eq!((state.state, &state.exit), ('Z', &Some(Exit::Code(7))));
    assert_eq!((state.ppid, state.in_tree, state.argv.len()), (own(), true, 0));
    let state = process(&seen, stopped.pid());
    assert_eq!((state.state, &state.exit), ('T', &None));
    assert_eq!(state.threads.iter().find(|t| t.tid.0 == stopped.pid().0).unwrap().state, 'T');
    assert_eq!(state.argv.len(), 1, "words of unknown programs are not kept");
    assert_eq!(state.role, ProcessRole::Other);
    assert_eq!(state.uid, Some(nix::unistd::getuid().as_raw()));
    assert!(state.age_ns > Nanos(0) && state.cwd.is_some());
    assert_eq!(state.started_by.as_ref().unwrap().pid, own());

    zombie.wait().unwrap();
    let seen = snapshot(own(), &[zombie_pid]);
    assert!(seen.processes.iter().all(|process| process.pid != zombie_pid));
}

#[test]
fn sockets_of_another_network_namespace() {
    let mut other = Actor::unshared(&["--user", "--map-root-user", "--net"], "listen");
    let port: u16 = other.hear("port").parse().unwrap();

    let snapshot = snapshot(other.pid(), &[]);
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    assert_eq!(socket_at(&snapshot, address, None).state, "LISTEN");
    // A socket that listens has no TCP_INFO to ask for.
    let said = snapshot.unseen.iter().any(|line| line.contains("another network namespace"));
    assert!(!said, "{:?}", snapshot.unseen);
}

#[test]
fn what_may_not_be_read_is_said() {
    // A copy that another user can reach.
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("program");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    let mut idle = Actor::start("idle", &[]);
    idle.hear("ready");
    let root = nix::unistd::getuid().is_root();
    let target = if root { idle.pid() } else { Pid(1) };
    let mut command = part_command(&program, "look at", &[&target.to_string()]);
    command.current_dir("/");
    if root {
        command.uid(65534).gid(65534);
    }
    let mut stranger = Actor::run(command);
    assert_eq!(stranger.hear("looked"), "as a stranger");
}

fn look_at(pid: Pid) {
    let mut proc = Proc::new();
    let seen = proc.snapshot(SnapshotCause::Asked, pid, &[], &SnapshotWants::default());
    let state = process(&seen, pid);
    assert_eq!((state.descriptors.len(), state.written, &state.exe), (0, None, &None));
    assert!(!state.comm.is_empty() && state.uid == Some(0) && !state.threads.is_empty());
    let refused = |what: &str| {
        seen.unseen.iter().any(|line| line.starts_with(what) && line.contains("Permission denied"))
    };
    assert!(refused("descriptors of process"), "{:?}", seen.unseen);
    assert!(refused("system calls of process"), "{:?}", seen.unseen);
    assert_eq!(still_in_lock(pid, pid.into()), None);
    assert_eq!(proc.sample(&[pid], &SocketFilter::Owned).processes[0].written, 0);
    println!("looked as a stranger");
}

#[test]
fn a_dead_filesystem_is_named_and_hangs_nobody() {
    let options = ["--user", "--map-root-user", "--mount"];
    let mut other = Actor::unshared(&options, "dead filesystem");
    assert_eq!(other.hear("filesystem is"), "dead");
    assert!(other.child.wait().unwrap().success());
}

/// A FUSE mount whose server never speaks. Closing the device ends the connection.
fn dead_filesystem() {
    let directory = tempfile::tempdir().unwrap();
    let point = directory.path().to_str().unwrap().to_owned();
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let device = device.expect("this test needs /dev/fuse");
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("dead"), point.as_str(), Some("fuse"), flags, Some(options.as_str())).unwrap();

    let wants = SnapshotWants {
        filesystems: vec![
            ("module cache".to_owned(), format!("{point}/cache/download")),
            ("working directory".to_owned(), "/".to_owned()),
        ],
        ..SnapshotWants::default()
    };
    let seen = Proc::new().snapshot(SnapshotCause::Stall, own(), &[], &wants);
    drop(device);
    umount2(point.as_str(), MntFlags::MNT_DETACH).unwrap();

    let [dead, alive] = &seen.filesystems[..] else { panic!("{seen:#?}") };
    assert_eq!((dead.answered, dead.free_bytes), (false, None));
    assert_eq!((dead.mount.as_deref(), dead.kind.as_deref()), (Some(point.as_str()), Some("fuse")));
    assert!(alive.answered && alive.free_bytes.is_some(), "{alive:?}");
    println!("filesystem is dead");
}

#[test]
fn the_last_counters_of_a_connection_that_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sink, events) = mpsc::channel();
    let watch = watch_destroyed(sink, || Nanos(5), move |_local, peer| peer == address).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let local = client.local_addr().unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(&[1; 300]).unwrap();
    server.read_exact(&mut [0; 300]).unwrap();
    server.write_all(&[2; 12_345]).unwrap();
    drop(server);
    let mut body = Vec::new();
    client.read_to_end(&mut body).unwrap();
    assert_eq!(body.len(), 12_345);
    drop(client);

    let Event { t, pid, what: What::TcpClosed(sample), .. } = events.recv().unwrap() else {
        panic!("no TcpClosed")
    };
    assert_eq!((t, pid), (Nanos(5), Pid(0)));
    assert_eq!((sample.inode, sample.local, sample.peer), (Inode(0), local, address));
    assert_eq!((sample.tcp.bytes_acked, sample.tcp.bytes_received), (300, 12_345));
    watch.finish();
    assert!(events.recv().is_err(), "the other end was not asked for, and the watch is over");
}

#[test]
fn a_fifo_that_nobody_writes_to_blocks_no_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let seen = snapshot(own(), &[]);
    let named = DescriptorTarget::File(path.to_str().unwrap().to_owned());
    let descriptors = &process(&seen, own()).descriptors;
    assert!(descriptors.iter().any(|d| d.fd.0 == reader.as_raw_fd() && d.target == named));
}
