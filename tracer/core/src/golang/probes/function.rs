//! What is probed.

/// A function that is probed, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Function {
    /// Looks up the addresses of a host.
    LookUp = 0,
    /// The same without libc, in files and by questions to servers.
    GoLookUp = 1,
    /// Sends one DNS question to one server and waits for the answer.
    Exchange = 2,
    /// Connects to a host: look-up and attempts.
    Dial = 3,
    /// One attempt at one address.
    DialOne = 4,
    /// The system call of an attempt, and the wait for its end.
    Connect = 5,
    /// TLS, as the client.
    Handshake = 6,
    /// A request, up to the header of its response; redirects are requests of their own.
    RoundTrip = 7,
    /// A request on its connection of HTTP/1.
    Http1 = 8,
    /// A request on its connection of HTTP/2.
    Http2 = 9,
    /// Reads from the body of a response of HTTP/1.
    Body1 = 10,
    /// Has done with it, read to its end or not.
    Close1 = 11,
    /// Reads from the body of a response of HTTP/2.
    Body2 = 12,
    /// Has done with it, read to its end or not.
    Close2 = 13,
    /// The go command's GET, redirects followed, up to the header.
    Get = 14,
    /// Asks a module proxy for a list of versions.
    Versions = 15,
    /// Asks a module proxy for the latest version.
    Latest = 16,
    /// Asks a module proxy what a version is.
    Stat = 17,
    /// Asks a module proxy for a go.mod file.
    GoMod = 18,
    /// Asks a module proxy for the zip file, and reads it to its end.
    Zip = 19,
    /// Locks a version in the module cache.
    LockVersion = 20,
    /// Looks up a version in the checksum database.
    LookUpSum = 21,
    /// Asks the checksum database.
    ReadSum = 22,
    /// Runs a version control program and waits for it.
    Run = 23,
    /// Starts a program.
    Start = 24,
    /// Decides which toolchain is to be used, and gets it.
    SelectToolchain = 25,
    /// Becomes another toolchain.
    ExecToolchain = 26,
    /// Prints a message, as the go command does with all that is wrong.
    Log = 27,
}

impl Function {
    /// All there are.
    pub const ALL: [Function; 28] = [
        Function::LookUp,
        Function::GoLookUp,
        Function::Exchange,
        Function::Dial,
        Function::DialOne,
        Function::Connect,
        Function::Handshake,
        Function::RoundTrip,
        Function::Http1,
        Function::Http2,
        Function::Body1,
        Function::Close1,
        Function::Body2,
        Function::Close2,
        Function::Get,
        Function::Versions,
        Function::Latest,
        Function::Stat,
        Function::GoMod,
        Function::Zip,
        Function::LockVersion,
        Function::LookUpSum,
        Function::ReadSum,
        Function::Run,
        Function::Start,
        Function::SelectToolchain,
        Function::ExecToolchain,
        Function::Log,
    ];
}
