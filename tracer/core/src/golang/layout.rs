//! Where Go keeps what: one row for each change of the runtime's structures.
//!
//! Read from the DWARF of one program built by Go 1.19, 1.21, 1.22, 1.23, 1.24, 1.25, 1.26 and 1.27, for amd64 and for arm64, which are
//! equal in all of it. Rows of 1.18 and 1.20 are those of their neighbours. A row is never believed: the reading checks that
//! what it finds has the form of goroutines, functions and descriptors (`goroutines`, `module`, `netpoll`).

/// Offsets in bytes into the structure that a name begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// `gobuf.lr`, as an offset into `g`: the return address that a goroutine on arm64 has not yet stored.
    pub(super) g_sched_lr: u64,
    pub(super) g_syscallsp: u64,
    pub(super) g_syscallpc: u64,
    pub(super) g_atomicstatus: u64,
    pub(super) g_goid: u64,
    pub(super) g_waitreason: u64,
    /// From Go 1.21.
    pub(super) g_parent: Option<u64>,
    pub(super) g_gopc: Option<u64>,
    pub(super) g_startpc: Option<u64>,
    pub(super) m_procid: u64,
    pub(super) m_curg: u64,
    pub(super) m_id: u64,
    pub(super) m_alllink: u64,
    pub(super) polldesc_rg: u64,
    pub(super) polldesc_wg: u64,
    pub(super) epoll: EpollData,
    /// `moduledata.gofunc`: what the offsets of FUNCDATA count from.
    pub(super) module_gofunc: u64,
    /// `moduledata.types`: what the offsets of names of types count from.
    pub(super) module_types: u64,
    /// The first word of a pclntab.
    pub(super) pclntab_magic: u32,
    /// Bytes of `_func` before its tables.
    pub(super) func_header: u64,
    pub(super) inlined_size: u64,
    pub(super) inlined_name: u64,
    pub(super) inlined_parent: u64,
}

impl Layout {
    /// `m.gsignal`, which follows `m.procid` in every release.
    pub(super) fn m_gsignal(&self) -> u64 {
        self.m_procid + 8
    }
}

/// The same in every release: `g.stack.lo`.
pub(super) const G_STACK_LO: u64 = 0;
pub(super) const G_STACK_HI: u64 = 8;
pub(super) const G_M: u64 = 48;
pub(super) const G_SCHED_SP: u64 = 56;
pub(super) const G_SCHED_PC: u64 = 64;
/// More than is ever read of a `g`.
pub(super) const G_SIZE: u64 = 320;
/// More than is ever read of an `m`.
pub(super) const M_SIZE: u64 = 360;
pub(super) const POLLDESC_FD: u64 = 8;
/// `internal/poll.FD.Sysfd`.
pub(super) const FD_SYSFD: u64 = 16;

/// How the runtime packs a `*pollDesc` into `epoll_event.data` (runtime/tagptr_64bit.go).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpollData {
    /// As it is.
    Plain,
    /// 48 bits of address and 19 of tag: the address has 3 bits of zeros (1.21 to 1.24).
    Tag19,
    /// 49 bits of address, aligned to 512 (1.25 and later).
    Tag24,
}

impl EpollData {
    /// The address of the pollDesc.
    pub(super) fn address(self, data: u64) -> u64 {
        match self {
            EpollData::Plain => data,
            // The kernel's half of the address space has no pollDesc, so the sign need not be kept.
            EpollData::Tag19 => (data >> 19) << 3,
            EpollData::Tag24 => (data >> 24) << 9,
        }
    }
}

const GO_1_18: Layout = Layout {
    g_sched_lr: 96,
    g_syscallsp: 112,
    g_syscallpc: 120,
    g_atomicstatus: 144,
    g_goid: 152,
    g_waitreason: 176,
    g_parent: None,
    g_gopc: None,
    g_startpc: None,
    m_procid: 72,
    m_curg: 192,
    m_id: 232,
    m_alllink: 336,
    polldesc_rg: 24,
    polldesc_wg: 32,
    epoll: EpollData::Plain,
    module_gofunc: 304,
    module_types: 280,
    pclntab_magic: 0xffff_fff0,
    func_header: 40,
    inlined_size: 20,
    inlined_name: 12,
    inlined_parent: 16,
};

const GO_1_19: Layout = Layout { g_gopc: Some(296), g_startpc: Some(312), ..GO_1_18 };

const GO_1_20: Layout = Layout {
    g_gopc: None,
    g_startpc: None,
    module_gofunc: 320,
    module_types: 296,
    pclntab_magic: 0xffff_fff1,
    func_header: 44,
    inlined_size: 16,
    inlined_name: 4,
    inlined_parent: 8,
    ..GO_1_19
};

const GO_1_21: Layout = Layout {
    g_parent: Some(272),
    g_gopc: Some(280),
    g_startpc: Some(296),
    polldesc_rg: 32,
    polldesc_wg: 40,
    epoll: EpollData::Tag19,
    ..GO_1_20
};

const GO_1_22: Layout = Layout { m_alllink: 328, ..GO_1_21 };

const GO_1_23: Layout = Layout {
    g_atomicstatus: 152,
    g_goid: 160,
    g_waitreason: 184,
    g_parent: Some(280),
    g_gopc: Some(288),
    g_startpc: Some(304),
    ..GO_1_22
};

const GO_1_24: Layout = Layout { m_alllink: 352, ..GO_1_23 };

const GO_1_25: Layout = Layout {
    g_sched_lr: 88,
    g_syscallsp: 104,
    g_syscallpc: 112,
    g_atomicstatus: 144,
    g_goid: 152,
    g_waitreason: 176,
    g_parent: Some(272),
    g_gopc: Some(280),
    g_startpc: Some(296),
    m_procid: 64,
    m_curg: 184,
    m_id: 224,
    m_alllink: 344,
    epoll: EpollData::Tag24,
    ..GO_1_24
};

const GO_1_26: Layout = Layout {
    g_parent: Some(280),
    g_gopc: Some(288),
    g_startpc: Some(304),
    m_id: 232,
    m_alllink: 352,
    ..GO_1_25
};

const GO_1_27: Layout = Layout { module_gofunc: 344, ..GO_1_26 };

/// By the first release that has it; the last is tried for anything newer.
const ROWS: [(u32, Layout); 9] = [
    (18, GO_1_18),
    (19, GO_1_19),
    (20, GO_1_20),
    (21, GO_1_21),
    (22, GO_1_22),
    (23, GO_1_23),
    (24, GO_1_24),
    (25, GO_1_25),
    (26, GO_1_26),
];

/// The newest release whose layout is known.
pub(super) const NEWEST: u32 = 27;

/// The row for Go 1.`minor`; none before Go 1.18.
pub(super) fn of(minor: u32) -> Option<Layout> {
    if minor >= NEWEST {
        return Some(GO_1_27);
    }
    ROWS.iter().rev().find(|(first, _)| *first <= minor).map(|(_, layout)| *layout)
}

/// The minor number of `go1.26.8`, `go1.27rc1`, or `devel go1.28-0123abc`.
pub(super) fn minor(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("go1.")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_its_row_and_a_newer_one_the_newest() {
        assert_eq!(of(17), None);
        assert_eq!(of(18), Some(GO_1_18));
        assert_eq!(of(24), Some(GO_1_24));
        assert_eq!(of(26), Some(GO_1_26));
        assert_eq!(of(27), of(99));
        assert!(ROWS.is_sorted_by_key(|(first, _)| *first));
    }

    #[test]
    fn versions() {
        for (text, expected) in [
            ("go1.26.8", Some(26)),
            ("go1.27rc1", Some(27)),
            ("devel go1.28-0123abc Mon", Some(28)),
            ("go1.19.8", Some(19)),
            ("go2.0", None),
            ("go1.", None),
            ("go1.99999999999", None),
            ("", None),
        ] {
            assert_eq!(minor(text), expected, "{text}");
        }
    }

    #[test]
    fn epoll_data_holds_the_address() {
        let pd = 0x7f0f_0e00_8e00_u64;
        assert_eq!(EpollData::Plain.address(pd), pd);
        assert_eq!(EpollData::Tag19.address((pd << 16) | 0x1234), pd);
        assert_eq!(EpollData::Tag24.address((pd << 15) | 0x1234), pd);
    }
}
