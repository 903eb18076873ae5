//! What differs from kernel to kernel and from machine to machine. The user side finds it out (from BTF, and from its own
//! architecture) and sets it before the programs are loaded, so that the verifier sees constants.

macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($(#[$line:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $name { $($(#[$line])* $variant,)* }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Where it comes from.
            pub const fn source(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

table! {
    /// Where members lie in structures of the kernel, in bytes. The source is `structure.member`, through anonymous members; of
    /// several, separated by `|`, the first that the kernel has.
    Offset {
        /// `pid_t`: the thread's id in the first pid namespace.
        TaskPid = "task_struct.pid",
        /// `pid_t`: the process's.
        TaskTgid = "task_struct.tgid",
        /// `struct task_struct *`.
        TaskLeader = "task_struct.group_leader",
        /// `struct pid *`: its ids in all namespaces.
        TaskThreadPid = "task_struct.thread_pid",
        /// `struct signal_struct *`.
        TaskSignal = "task_struct.signal",
        /// `int`: as wait(2) gives it.
        TaskExitCode = "task_struct.exit_code",
        /// `void *`: where its stack in the kernel begins.
        TaskStack = "task_struct.stack",
        /// `struct mm_struct *`.
        TaskMm = "task_struct.mm",
        /// `unsigned long`: where the words of the command line begin.
        MmArgStart = "mm_struct.arg_start",
        /// Where they end.
        MmArgEnd = "mm_struct.arg_end",
        /// `atomic_t`: threads that live.
        SignalLive = "signal_struct.live",
        /// `unsigned int`.
        SignalFlags = "signal_struct.flags",
        /// `int`: the status where the whole group ends.
        SignalGroupExitCode = "signal_struct.group_exit_code",
        /// `unsigned int`: how deep the innermost namespace lies.
        PidLevel = "pid.level",
        /// `struct upid[]`.
        PidNumbers = "pid.numbers",
        /// `int`: an id.
        UpidNr = "upid.nr",
        /// `struct pid_namespace *`.
        UpidNs = "upid.ns",
        /// `unsigned int`: the inode of `/proc/PID/ns/pid`.
        PidNamespaceInode = "pid_namespace.ns.inum",
        /// `const char *`.
        BinprmFilename = "linux_binprm.filename",

        /// `unsigned short`.
        SockFamily = "sock.__sk_common.skc_family",
        /// `volatile unsigned char`: TCP_ESTABLISHED and so on.
        SockState = "sock.__sk_common.skc_state",
        /// `__be32`.
        SockLocal4 = "sock.__sk_common.skc_rcv_saddr",
        /// `__be32`.
        SockPeer4 = "sock.__sk_common.skc_daddr",
        /// `struct in6_addr`.
        SockLocal6 = "sock.__sk_common.skc_v6_rcv_saddr",
        /// `struct in6_addr`.
        SockPeer6 = "sock.__sk_common.skc_v6_daddr",
        /// `__u16`: the machine's order.
        SockLocalPort = "sock.__sk_common.skc_num",
        /// `__be16`.
        SockPeerPort = "sock.__sk_common.skc_dport",
        /// `u16`, or bits of an `unsigned int` before 5.6, which is before ring buffers.
        SockProtocol = "sock.sk_protocol",
        /// `int`: why it ended.
        SockError = "sock.sk_err",
        /// `struct socket *`.
        SockSocket = "sock.sk_socket",
        /// `struct sock *` of a `struct socket`.
        SocketSock = "socket.sk",
        /// A `struct socket` lies in this,
        SocketInAlloc = "socket_alloc.socket",
        /// and so does its inode.
        InodeInAlloc = "socket_alloc.vfs_inode",
        /// `unsigned long`.
        InodeNumber = "inode.i_ino",
        /// `struct super_block *`.
        InodeSuper = "inode.i_sb",
        /// `dev_t`.
        SuperDevice = "super_block.s_dev",

        /// `unsigned char` or `int`: `F_RDLCK`, `F_WRLCK`, `F_UNLCK`.
        LockType = "file_lock.c.flc_type|file_lock.fl_type",
        /// `unsigned int`: `FL_SLEEP`, `FL_OFDLCK`, ...
        LockFlags = "file_lock.c.flc_flags|file_lock.fl_flags",
        /// `struct file *`.
        LockFile = "file_lock.c.flc_file|file_lock.fl_file",
        /// `struct vfsmount *`.
        FileMount = "file.f_path.mnt",
        /// `struct dentry *`.
        FileDentry = "file.f_path.dentry",
        /// `struct dentry *`.
        DentryParent = "dentry.d_parent",
        /// `const unsigned char *`.
        DentryName = "dentry.d_name.name",
        /// `struct vfsmount` in a `struct mount`.
        MountVfs = "mount.mnt",
        /// `struct mount *`.
        MountParent = "mount.mnt_parent",
        /// `struct dentry *`.
        MountPoint = "mount.mnt_mountpoint",
        /// `struct dentry *`.
        VfsmountRoot = "vfsmount.mnt_root",

        /// `int`.
        SiginfoCode = "kernel_siginfo.si_code",
        /// `void (*)(int)`.
        SigactionHandler = "k_sigaction.sa.sa_handler",
    }
}

table! {
    /// Numbers that the programs are told. The source says which.
    Number {
        /// The inode of gmtrace's own pid namespace.
        OwnPidNamespace = "/proc/self/ns/pid",
        /// Whether `bpf_task_pt_regs` is there (Linux 5.15).
        HasTaskRegs = "kernel 5.15",
        /// Before that, where the registers lie in the thread's stack in the kernel, in bytes; 0 where that is not known.
        RegsInStack = "task_pt_regs",
        /// Where the number of the system call lies in them.
        RegsSyscall = "pt_regs: number of the system call",
        /// Where its arguments lie.
        RegsArg0 = "pt_regs: first argument",
        /// The second.
        RegsArg1 = "pt_regs: second argument",
        /// Which of them is the stack pointer.
        RegsStack = "pt_regs: stack pointer, in words",
        /// Which has the goroutine (src/cmd/compile/abi-internal.md).
        RegsGoroutine = "pt_regs: Go's g, in words",
        /// The word that tells a task of another ABI (i386, AArch32) by
        RegsMode = "pt_regs: code segment or processor state",
        /// these bits
        RegsModeMask = "pt_regs: bits of the mode",
        /// being something else.
        RegsModeNative = "pt_regs: their value in a native task",
        /// Whether the number of a system call is one of x32 if this bit is set; 0 where there is no such ABI.
        ForeignBit = "__X32_SYSCALL_BIT",
        /// read(2).
        SysRead = "read",
        /// write(2).
        SysWrite = "write",
        /// readv(2).
        SysReadv = "readv",
        /// writev(2).
        SysWritev = "writev",
        /// recvfrom(2).
        SysRecvfrom = "recvfrom",
        /// sendto(2).
        SysSendto = "sendto",
        /// recvmsg(2).
        SysRecvmsg = "recvmsg",
        /// sendmsg(2).
        SysSendmsg = "sendmsg",
        /// recvmmsg(2).
        SysRecvmmsg = "recvmmsg",
        /// sendmmsg(2).
        SysSendmmsg = "sendmmsg",
        /// flock(2).
        SysFlock = "flock",
        /// fcntl(2).
        SysFcntl = "fcntl",
        /// Wake the reader when so many bytes wait in one of the rings.
        WakeAt = "an eighth of the smaller ring",
    }
}
