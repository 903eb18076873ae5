//! What the arguments of known functions mean: module, version, URL, file, host, program. By allow-list, and only where the compiler says
//! that an argument still holds its value.

use super::arguments::{self, string, string_at, strings_at};
use super::layout::FD_SYSFD;
use super::memory::Pages;
use super::pclntab::Functions;
use super::unwind::Call;
use crate::decode::dns;
use crate::redact;
use Kind::*;
use std::net::{IpAddr, SocketAddr};

/// The most words of a command line that are kept.
const MAX_ARGV: u64 = 32;

/// An argument, credentials removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// `module`, `version`, `url`, ...
    pub name: &'static str,
    /// Its value.
    pub value: Value,
}

/// A value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// Several, as of a command line.
    Texts(Vec<String>),
    /// A number.
    Number(u64),
    /// Where an object is: the same in two stacks, it is the same object.
    Address(u64),
}

/// A parameter or a group of them, and how many words it takes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// So many words that say nothing here.
    Skip(usize),
    /// Whatever is left.
    Rest,
    /// A string.
    Text(&'static str),
    /// A number.
    Number(&'static str),
    /// A pointer.
    Address(&'static str),
    /// A pointer to a structure with a string at this offset.
    TextAt(u64, &'static str),
    /// A pointer to a structure with an int at this offset.
    NumberAt(u64, &'static str),
    /// A pointer to what begins with a module's path and version.
    Module,
    /// `*url.URL`.
    Url(&'static str),
    /// `*net.TCPAddr`.
    TcpAddr(&'static str),
    /// `*http.Request`, or a pointer to one.
    Request { behind: bool },
    /// `*http.persistConn`.
    PersistConn,
    /// `*pipe` of HTTP/2, the buffer of a response's body.
    Http2Pipe,
    /// `*tls.Conn`.
    TlsConn,
    /// `*exec.Cmd`.
    Command,
}

impl Kind {
    fn words(self) -> usize {
        match self {
            Skip(words) => words,
            Rest => 0,
            Text(_) => 2,
            _ => 1,
        }
    }
}

/// Where a stream of HTTP/2 has the buffer of its body (`http2clientStream.bufPipe` in net/http's h2_bundle.go, since Go 1.27
/// `clientStream.bufPipe` in net/http/internal/http2). The stream begins with its connection.
const HTTP2_PIPE: u64 = 48;

const CTX: Kind = Skip(2);
const MODULE: Kind = Text("module");
const VERSION: Kind = Text("version");
/// `*proxyRepo`: the module's path stands behind a `*url.URL`.
const PROXY_REPO: Kind = TextAt(8, "module");
const CONNECTION: Kind = Address("connection");

/// Functions and their parameters. Where releases differ there are several lines, told apart by the number of words.
#[rustfmt::skip]
const KNOWN: &[(&str, &[Kind])] = &[
    ("cmd/go/internal/modfetch.lockVersion", &[CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.lockVersion", &[MODULE, VERSION]),
    ("cmd/go/internal/modfetch.DownloadZip", &[CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.(*Fetcher).DownloadZip", &[Skip(1), CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.downloadZip", &[CTX, MODULE, VERSION, Text("file")]),
    ("cmd/go/internal/modfetch.(*Fetcher).downloadZip", &[Skip(1), CTX, MODULE, VERSION, Text("file")]),
    ("cmd/go/internal/modfetch.Download", &[CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.(*Fetcher).Download", &[Skip(1), CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.download", &[CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.(*Fetcher).download", &[Skip(1), CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.unzip", &[CTX, MODULE, VERSION, Text("file")]),
    ("cmd/go/internal/modfetch.InfoFile", &[CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.InfoFile", &[MODULE, VERSION]),
    ("cmd/go/internal/modfetch.(*Fetcher).InfoFile", &[Skip(1), CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.GoMod", &[CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.GoMod", &[MODULE, VERSION]),
    ("cmd/go/internal/modfetch.(*Fetcher).GoMod", &[Skip(1), CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.GoModFile", &[CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.GoModFile", &[MODULE, VERSION]),
    ("cmd/go/internal/modfetch.(*Fetcher).GoModFile", &[Skip(1), CTX, MODULE, VERSION]),
    ("cmd/go/internal/modfetch.lookupSumDB", &[MODULE, VERSION]),
    ("cmd/go/internal/modfetch.checkSumDB", &[MODULE, VERSION, Skip(2)]),
    ("cmd/go/internal/modfetch.(*dbClient).ReadRemote", &[Skip(1), Text("path")]),
    ("cmd/go/internal/modfetch.(*proxyRepo).Versions", &[PROXY_REPO, CTX, Skip(2)]),
    ("cmd/go/internal/modfetch.(*proxyRepo).Versions", &[PROXY_REPO, Skip(2)]),
    ("cmd/go/internal/modfetch.(*proxyRepo).latest", &[PROXY_REPO, Rest]),
    ("cmd/go/internal/modfetch.(*proxyRepo).Latest", &[PROXY_REPO, Rest]),
    ("cmd/go/internal/modfetch.(*proxyRepo).Stat", &[PROXY_REPO, CTX, VERSION]),
    ("cmd/go/internal/modfetch.(*proxyRepo).Stat", &[PROXY_REPO, VERSION]),
    ("cmd/go/internal/modfetch.(*proxyRepo).GoMod", &[PROXY_REPO, CTX, VERSION]),
    ("cmd/go/internal/modfetch.(*proxyRepo).GoMod", &[PROXY_REPO, VERSION]),
    ("cmd/go/internal/modfetch.(*proxyRepo).Zip", &[PROXY_REPO, CTX, Skip(2), VERSION]),
    ("cmd/go/internal/modfetch.(*proxyRepo).Zip", &[PROXY_REPO, Skip(2), VERSION]),
    ("cmd/go/internal/modfetch.(*proxyRepo).getBytes", &[PROXY_REPO, CTX, Text("path")]),
    ("cmd/go/internal/modfetch.(*proxyRepo).getBytes", &[PROXY_REPO, Text("path")]),
    ("cmd/go/internal/modfetch.(*proxyRepo).getBody", &[PROXY_REPO, CTX, Text("path")]),
    ("cmd/go/internal/modfetch.(*proxyRepo).getBody", &[PROXY_REPO, Text("path")]),
    ("cmd/go/internal/modcmd.DownloadModule", &[CTX, Module]),
    ("cmd/go/internal/modcmd.DownloadModule", &[Skip(1), CTX, Module]),
    // downloadModule, a closure, in every release.
    ("cmd/go/internal/modcmd.runDownload.func1", &[Module]),
    ("cmd/go/internal/web.get", &[Skip(1), Url("url")]),
    ("cmd/go/internal/lockedfile.OpenFile", &[Text("file"), Skip(2)]),
    ("cmd/go/internal/lockedfile.openFile", &[Text("file"), Skip(2)]),
    ("cmd/go/internal/lockedfile.(*Mutex).Lock", &[TextAt(0, "file")]),
    ("cmd/go/internal/toolchain.Exec", &[Text("toolchain")]),
    ("cmd/go/internal/toolchain.Exec", &[Skip(1), Text("toolchain")]),
    ("cmd/go/internal/vcs.(*Cmd).Ping", &[Skip(1), Text("scheme"), Text("repository")]),
    ("syscall.Flock", &[Number("fd"), Number("how")]),
    ("net.(*Resolver).lookupIPAddr", &[Skip(1), CTX, Text("network"), Text("host")]),
    ("net.(*Resolver).goLookupIPCNAMEOrder", &[Skip(1), CTX, Skip(2), Text("host"), Skip(2)]),
    ("net.(*Resolver).goLookupIPCNAMEOrder", &[Skip(1), CTX, Text("host"), Skip(1)]),
    ("net.(*Resolver).tryOneName", &[Skip(1), CTX, Skip(1), Text("host"), Skip(1)]),
    ("net.(*Resolver).exchange", &[Skip(1), CTX, Text("server"), Rest]),
    ("net.(*Dialer).DialContext", &[Skip(1), CTX, Text("network"), Text("address")]),
    ("net.(*sysDialer).dialTCP", &[Skip(1), CTX, Skip(1), TcpAddr("address")]),
    ("net.(*sysDialer).doDialTCP", &[Skip(1), CTX, Skip(1), TcpAddr("address")]),
    ("net.(*sysDialer).doDialTCPProto", &[Skip(1), CTX, Skip(1), TcpAddr("address"), Skip(1)]),
    ("net.(*netFD).connect", &[NumberAt(FD_SYSFD, "fd"), Rest]),
    ("crypto/tls.(*Conn).handshakeContext", &[CONNECTION, CTX]),
    ("crypto/tls.(*Conn).clientHandshake", &[CONNECTION, CTX]),
    ("crypto/tls.(*Conn).Read", &[TlsConn, Skip(3)]),
    ("net/http.(*Transport).roundTrip", &[Skip(1), Request { behind: false }]),
    ("net/http.(*Transport).dialConn", &[Skip(1), CTX, Url("proxy"), Text("scheme"), Text("address"), Skip(1)]),
    ("net/http.(*persistConn).roundTrip", &[PersistConn, Request { behind: true }]),
    ("net/http.(*persistConn).Read", &[PersistConn, Skip(3)]),
    ("net/http.(*persistConn).readLoop", &[PersistConn]),
    ("net/http.(*persistConn).writeLoop", &[PersistConn]),
    ("net/http.(*http2ClientConn).roundTrip", &[CONNECTION, Request { behind: false }, Rest]),
    ("net/http.(*http2ClientConn).RoundTrip", &[CONNECTION, Request { behind: false }]),
    ("net/http.(*http2ClientConn).readLoop", &[CONNECTION]),
    ("net/http/internal/http2.(*ClientConn).roundTrip", &[CONNECTION, Rest]),
    ("net/http/internal/http2.(*ClientConn).readLoop", &[CONNECTION]),
    ("net/http.(*http2pipe).Read", &[Http2Pipe, Skip(3)]),
    ("net/http/internal/http2.(*pipe).Read", &[Http2Pipe, Skip(3)]),
    ("os/exec.(*Cmd).Start", &[Command]),
    ("os/exec.(*Cmd).Wait", &[Command]),
    ("os/exec.(*Cmd).awaitGoroutines", &[Command, Rest]),
    ("os.(*Process).Wait", &[NumberAt(0, "pid")]),
    ("os.(*Process).wait", &[NumberAt(0, "pid")]),
    ("os.(*Process).pidfdWait", &[NumberAt(0, "pid")]),
    ("os.(*Process).blockUntilWaitable", &[NumberAt(0, "pid")]),
];

/// The functions that send a question and wait for its answer. It is an array, which the compiler passes in memory, first of all
/// that it passes there (src/cmd/compile/abi-internal.md): it can be read where no string in a register is left.
const ASKING: &[&str] = &["net.dnsPacketRoundTrip", "net.dnsStreamRoundTrip"];

/// Whether the arguments of this function mean anything.
pub(super) fn is_known(function: &str) -> bool {
    ASKING.contains(&function) || KNOWN.iter().any(|(known, _)| *known == function)
}

/// What the arguments of a call mean; empty for functions that are not known, or known with other parameters.
pub(super) fn of(pages: &Pages<'_>, functions: &Functions<'_, '_>, call: &Call) -> Vec<Meaning> {
    if !call.function.known {
        return Vec::new();
    }
    if ASKING.contains(&&*call.function.name) {
        return question(pages, call.arguments);
    }
    let mut known = KNOWN.iter().filter(|(known, _)| *known == &*call.function.name);
    let words = arguments::words(pages, functions, call);
    let kinds = known.find(|(_, kinds)| fits(kinds, words.len())).map_or(&[][..], |known| known.1);
    let (mut meanings, mut at) = (Vec::new(), 0);
    for kind in kinds {
        let part = words.get(at..at + kind.words()).unwrap_or_default();
        meanings.extend(meaning(pages, *kind, part));
        at += kind.words();
    }
    meanings
}

/// Whether these parameters take this many words.
fn fits(kinds: &[Kind], words: usize) -> bool {
    let described: usize = kinds.iter().map(|kind| kind.words()).sum();
    let open = kinds.iter().any(|kind| matches!(kind, Rest));
    described == words || (open && described <= words)
}

fn meaning(pages: &Pages<'_>, kind: Kind, words: &[Option<u64>]) -> Vec<Meaning> {
    let text = |name: &'static str, text: Option<String>| {
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| Meaning { name, value: Value::Text(redact::text(&text).into_owned()) })
    };
    let number = |name: &'static str, number: Option<u64>| {
        number.map(|number| Meaning { name, value: Value::Number(number) })
    };
    let one = match (kind, words) {
        (Text(name), [Some(pointer), Some(length)]) => text(name, string(pages, *pointer, *length)),
        (Number(name), [word]) => number(name, *word),
        (Address(name), [Some(word)]) if *word != 0 => {
            Some(Meaning { name, value: Value::Address(*word) })
        }
        (Http2Pipe, [Some(at)]) => {
            let connection = at.checked_sub(HTTP2_PIPE).and_then(|stream| pages.word(stream));
            named("connection", connection.filter(|at| *at != 0).map(Value::Address))
        }
        (TextAt(offset, name), [Some(at)]) => {
            text(name, at.checked_add(offset).and_then(|at| string_at(pages, at)))
        }
        (NumberAt(offset, name), [Some(at)]) => {
            let value = at.checked_add(offset).and_then(|at| pages.word(at));
            number(name, value.filter(|value| i32::try_from(*value).is_ok()))
        }
        (Url(name), [Some(at)]) => url(pages, *at)
            .map(|url| Meaning { name, value: Value::Text(redact::url(&url).into_owned()) }),
        (TcpAddr(name), [Some(at)]) => {
            text(name, tcp_address(pages, *at).map(|address| address.to_string()))
        }
        (Module, [Some(at)]) => return module(pages, *at),
        (Request { behind }, [Some(at)]) => {
            let at = if behind { pages.word(*at) } else { Some(*at) };
            return at.map_or_else(Vec::new, |at| request(pages, at));
        }
        (PersistConn, [Some(at)]) => return persist_conn(pages, *at),
        (TlsConn, [Some(at)]) => return tls_conn(pages, *at),
        (Command, [Some(at)]) => return command(pages, *at),
        _ => None,
    };
    one.into_iter().collect()
}

fn named(name: &'static str, value: Option<Value>) -> Option<Meaning> {
    value.map(|value| Meaning { name, value })
}

/// A structure that begins with two strings, a module's path and a version. Whose name is only that of a closure could be another
/// one in another release, so they have to look like it.
fn module(pages: &Pages<'_>, at: u64) -> Vec<Meaning> {
    let version = at.checked_add(16).and_then(|at| string_at(pages, at));
    let (Some(path), Some(version)) = (string_at(pages, at), version) else { return Vec::new() };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if path.is_empty() || !version.starts_with('v') || !plain(&path) || !plain(&version) {
        return Vec::new();
    }
    let texts = [("module", path), ("version", version)];
    let texts = texts.map(|(name, text)| (name, redact::text(&text).into_owned()));
    texts.map(|(name, text)| Meaning { name, value: Value::Text(text) }).to_vec()
}

/// `url.URL`: Scheme at 0, Host at 40, Path at 56. Its user and its query are not even read.
fn url(pages: &Pages<'_>, at: u64) -> Option<String> {
    let part = |offset: u64| string_at(pages, at.checked_add(offset)?);
    let (scheme, host, path) = (part(0)?, part(40)?, part(56)?);
    let is_scheme =
        scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (is_scheme && !scheme.is_empty()).then(|| format!("{scheme}://{host}{path}"))
}

/// `net.TCPAddr`: IP, a slice, at 0, Port at 24.
fn tcp_address(pages: &Pages<'_>, at: u64) -> Option<SocketAddr> {
    let word = |offset: u64| pages.word(at.checked_add(offset)?);
    let length = usize::try_from(word(8)?).ok().filter(|length| matches!(length, 4 | 16))?;
    let bytes = pages.bytes(word(0)?, length)?;
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::try_from(word(24)?).ok()?))
}

/// The class of the Internet (RFC 1035, 3.2.4), the only one that Go asks for.
const INTERNET: u16 = 1;

/// `dnsmessage.Question`: its name, 255 bytes and how many of them are used; then Type and Class, numbers of two bytes.
fn question(pages: &Pages<'_>, at: u64) -> Vec<Meaning> {
    let host = asked_name(pages, at).map(Value::Text);
    let number = |offset: u64| {
        let [low, high] = <[u8; 2]>::try_from(pages.bytes(at.checked_add(offset)?, 2)?).ok()?;
        Some(u16::from_le_bytes([low, high]))
    };
    let of_internet = host.is_some() && number(258) == Some(INTERNET);
    let record = number(256).filter(|_| of_internet).map(dns::record_type).map(Value::Text);
    [named("host", host), named("record", record)].into_iter().flatten().collect()
}

fn asked_name(pages: &Pages<'_>, at: u64) -> Option<String> {
    let used = usize::from(pages.byte(at.checked_add(255)?)?);
    let name = String::from_utf8(pages.bytes(at, used)?).ok()?;
    let is_name = name.ends_with('.') && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| redact::text(&name).into_owned())
}

/// `http.Request`: Method at 0, URL at 16.
fn request(pages: &Pages<'_>, at: u64) -> Vec<Meaning> {
    let url = at.checked_add(16).and_then(|at| pages.word(at)).and_then(|at| url(pages, at));
    let Some(url) = url else { return Vec::new() };
    // An empty method is GET.
    let method =
        string_at(pages, at).filter(|method| method.bytes().all(|b| b.is_ascii_uppercase()));
    let method = method.map(|method| if method.is_empty() { "GET".to_owned() } else { method });
    let url = Value::Text(redact::url(&url).into_owned());
    [named("method", method.map(Value::Text)), named("url", Some(url))]
        .into_iter()
        .flatten()
        .collect()
}

/// `http.persistConn`: the address that was dialled for it, cacheKey.addr, at 56, in every release (`host:port`).
fn persist_conn(pages: &Pages<'_>, at: u64) -> Vec<Meaning> {
    let connection = (at != 0).then_some(Value::Address(at));
    let is_address = |text: &String| {
        let (_, port) = text.rsplit_once(':').unwrap_or_default();
        port.parse::<u16>().is_ok() && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let address = at.checked_add(56).and_then(|at| string_at(pages, at)).filter(is_address);
    let address = address.map(|text| Value::Text(redact::text(&text).into_owned()));
    [named("connection", connection), named("address", address)].into_iter().flatten().collect()
}

/// Where `tls.Conn` has its config: `quic` came before it with Go 1.21. What is at the other place is a small number in each release:
/// `handshakes` before, `vers` and `haveVers` since.
const TLS_CONFIG: [u64; 2] = [80, 72];

/// `tls.Conn`: its config, and there ServerName at 128: the name that was dialled, also where it is an address, which SNI does
/// not carry (net/http's `cloneTLSConfig` in addTLS).
fn tls_conn(pages: &Pages<'_>, at: u64) -> Vec<Meaning> {
    let connection = (at != 0).then_some(Value::Address(at));
    let name_in = |offset: u64| {
        let config = pages.word(at.checked_add(offset)?)?;
        string_at(pages, config.checked_add(128)?).filter(|name| is_host(name))
    };
    let name = TLS_CONFIG.into_iter().find_map(name_in);
    let host = name.map(|name| Value::Text(redact::text(&name).into_owned()));
    [named("connection", connection), named("host", host)].into_iter().flatten().collect()
}

fn is_host(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    !name.is_empty() && name.len() <= 253 && name.bytes().all(plain)
}

/// `exec.Cmd`: Path at 0, Args at 16, Dir at 64.
fn command(pages: &Pages<'_>, at: u64) -> Vec<Meaning> {
    let Some(program) = string_at(pages, at).filter(|path| !path.is_empty()) else {
        return Vec::new();
    };
    let argv = at.checked_add(16).and_then(|at| strings_at(pages, at, MAX_ARGV));
    let argv = argv.map(|argv| Value::Texts(redact::argv_for(&program, &argv)));
    let directory = at.checked_add(64).and_then(|at| string_at(pages, at));
    let directory = directory.filter(|directory| !directory.is_empty());
    let program = Some(Value::Text(redact::text(&program).into_owned()));
    let directory = directory.map(|path| Value::Text(redact::text(&path).into_owned()));
    let named = [named("program", program), named("argv", argv), named("directory", directory)];
    named.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golang::memory::tests::Flat;

    /// A `dnsmessage.Question` for `name`.
    fn asked(name: &str, record: u16, class: u16) -> Vec<Meaning> {
        let mut bytes = vec![0; 260];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[255] = u8::try_from(name.len()).unwrap();
        bytes[256..258].copy_from_slice(&record.to_le_bytes());
        bytes[258..].copy_from_slice(&class.to_le_bytes());
        question(&Pages::new(&Flat { base: 0x1000, bytes }), 0x1000)
    }

    #[test]
    fn a_question_tells_the_name_and_the_record() {
        let text = |name, text: &str| Meaning { name, value: Value::Text(text.to_owned()) };
        let host = text("host", "proxy.example.com.");
        for (number, name) in [(1, "A"), (28, "AAAA"), (64_999, "TYPE64999")] {
            let found = asked("proxy.example.com.", number, INTERNET);
            assert_eq!(found, [host.clone(), text("record", name)]);
        }
        assert_eq!(asked("proxy.example.com.", 28, 0), [host], "this is no question");
        assert_eq!(asked("proxy.example.com", 28, INTERNET), [], "no name is sent without its end");
    }

    const CONN: u64 = 0x1000;
    const CONFIG: u64 = 0x1100;
    const NAME: u64 = 0x1200;

    /// A `tls.Conn` with these words at 72 and 80, and a configuration for `host`.
    fn tls(at_72: u64, at_80: u64, host: &str) -> Vec<Meaning> {
        let mut bytes = vec![0; 0x300];
        let mut put = |at: u64, new: &[u8]| {
            let at = usize::try_from(at - CONN).unwrap();
            bytes[at..at + new.len()].copy_from_slice(new);
        };
        put(CONN + 72, &at_72.to_le_bytes());
        put(CONN + 80, &at_80.to_le_bytes());
        put(CONFIG + 128, &NAME.to_le_bytes());
        put(CONFIG + 136, &(host.len() as u64).to_le_bytes());
        put(NAME, host.as_bytes());
        tls_conn(&Pages::new(&Flat { base: CONN, bytes }), CONN)
    }

    #[test]
    fn the_host_of_a_tls_connection_is_found_in_old_and_new_releases() {
        let host = Meaning { name: "host", value: Value::Text("proxy.example.com".to_owned()) };
        // TLS 1.3 and haveVers.
        assert_eq!(tls(0x0001_0304, CONFIG, "proxy.example.com").last(), Some(&host));
        // One handshake.
        assert_eq!(tls(CONFIG, 1, "proxy.example.com").last(), Some(&host));
        for (at_72, at_80, host) in [(0, 0, "a"), (CONFIG, 1, ""), (1, CONFIG, "a b")] {
            let connection = Meaning { name: "connection", value: Value::Address(CONN) };
            assert_eq!(tls(at_72, at_80, host), [connection], "{host:?}");
        }
    }
}
