//! How a probe reads what it sees: data, and no more than plain numbers, so that a program in the kernel can follow it.

/// The most values that one probe reads, those of the entry and those of the return counted apart.
pub const MAX_VALUES: usize = 8;

/// The most steps of one value.
pub const MAX_STEPS: usize = 5;

/// One value, and the way to it.
///
/// A way begins at a *place*, and each step leads from a place to the next: it reads the word there as a pointer, and adds its offset
/// to it. A pointer of zero means that there is no such value. What the value is, [`Kind`] says, is read at the last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recipe {
    /// What it means.
    pub what: What,
    /// When it is read.
    pub moment: Moment,
    /// Where the way begins.
    pub start: Start,
    /// What is read at its end.
    pub kind: Kind,
    steps: [Step; MAX_STEPS],
    length: u8,
}

impl Recipe {
    /// None where there are more steps than [`MAX_STEPS`].
    pub(super) fn new(
        what: What,
        moment: Moment,
        start: Start,
        offsets: &[u16],
        kind: Kind,
    ) -> Option<Recipe> {
        let mut steps = [Step { offset: 0 }; MAX_STEPS];
        for (step, offset) in steps.get_mut(..offsets.len())?.iter_mut().zip(offsets) {
            step.offset = *offset;
        }
        Some(Recipe { what, moment, start, kind, steps, length: u8::try_from(offsets.len()).ok()? })
    }

    /// The steps in their order.
    pub fn steps(&self) -> &[Step] {
        self.steps.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// From a place to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// Added to the pointer that was read, bytes.
    pub offset: u16,
}

/// When a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Moment {
    /// At the function's first instruction.
    Entry = 0,
    /// At the instruction by which it returns.
    Return = 1,
}

/// Where the way to a value begins. Registers are counted as Go's calling convention does (src/cmd/compile/abi-internal.md):
/// [`registers`](super::registers) names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// This register; its next word, where the value takes more than one, is the next register.
    Register(u8),
    /// This register as it was at the entry, for a value that is read at the return.
    Kept(u8),
    /// This far above the stack pointer, bytes. It points to the same at the entry and at the return.
    Stack(u16),
}

/// What is read at the last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A string: a pointer and a length. The same words are a slice of bytes.
    Text = 0,
    /// A slice of strings: a pointer, and how many there are.
    Texts = 1,
    /// An unsigned number of 1 byte. In a register, the bytes above it mean nothing.
    Byte = 2,
    /// Of 2 bytes.
    Half = 3,
    /// Of 8 bytes; lengths and status codes, which are signed in Go, among them, and pointers that are only compared.
    Word = 4,
    /// An interface: the first word is zero where it is nil. Otherwise it tells the type of the second.
    Interface = 5,
    /// `dnsmessage.Name`: 255 bytes of text at the place itself, and how many of them are used in the byte behind.
    Name = 6,
}

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it, where there is nothing else to say")]
pub enum What {
    /// The name that is looked up.
    Host = 0,
    /// A name server with its port.
    Server = 1,
    /// The type of a DNS question.
    QuestionType = 2,
    /// The code of a DNS answer; it means nothing where there is an error.
    AnswerCode = 3,
    /// How many addresses were found.
    Addresses = 4,
    /// `tcp`, `udp`, ...
    Network = 5,
    /// `host:port`.
    Address = 6,
    /// The bytes of an IP address.
    Ip = 7,
    Port = 8,
    /// A descriptor. It is one only where [`What::DescriptorAgain`] is the same number.
    Descriptor = 9,
    /// The same descriptor as the runtime's poller has it (`runtime.pollDesc.fd`): equal where the way led through what it was
    /// meant for.
    DescriptorAgain = 10,
    /// As [`What::Descriptor`], where the connection is a TLS connection.
    TlsDescriptor = 11,
    /// As [`What::DescriptorAgain`], for [`What::TlsDescriptor`].
    TlsDescriptorAgain = 12,
    /// Zero where a connection has no TLS.
    Tls = 13,
    /// The name that the certificate is checked against.
    ServerName = 14,
    /// The version of TLS, `0x0304` for 1.3.
    TlsVersion = 15,
    /// What ALPN agreed on.
    Protocol = 16,
    /// Empty means GET.
    Method = 17,
    Scheme = 18,
    /// The host of a URL, with its port.
    UrlHost = 19,
    /// The path of a URL, decoded.
    Path = 20,
    Status = 21,
    /// -1 where it is not known.
    ContentLength = 23,
    /// Which body: the same number, the same body.
    Body = 24,
    /// So many bytes of the body were read.
    Bytes = 28,
    /// Which connection: the same number, the same connection.
    Connection = 29,
    Module = 30,
    Version = 31,
    Directory = 32,
    Program = 33,
    Arguments = 34,
    /// The first argument of a program.
    FirstArgument = 35,
    Process = 36,
    Toolchain = 37,
    /// The error; nil is success.
    Error = 38,
    /// The first string of the error, if it has one: `EOF` is that of io.EOF.
    ErrorText = 39,
    /// Of an error of a look-up, the name that was looked up: where it is not the same as [`What::Host`], it is another kind of
    /// error, and [`What::ErrorText`] means nothing.
    ErrorHost = 40,
    /// What is written.
    Written = 41,
    /// The errno(3) of the error, which it is only where [`What::ErrorText`] is the name of the operation.
    Errno = 42,
    /// The type of the error: its lower half is the offset of the type's name (`abi.Type.Str`), from [`Points::types`](super::Points).
    ErrorType = 43,
    /// Likewise, the type of what caused it, where it is a `*net.OpError`.
    CauseType = 44,
    /// The first string of that cause.
    CauseText = 45,
    /// As [`What::CauseType`], where the error is a `*tls.CertificateVerificationError`.
    CertificateCause = 46,
}
