//! Socket addresses as `connect`, `sendto` and `recvfrom` pass them.
//!
//! Families, sizes and fields: `socket(2)`, `ip(7)`, `ipv6(7)`, `unix(7)`. The family, the flow
//! label and the scope are in the machine's byte order, the port in the network's.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `sizeof(sun_path)` is 108, unix(7). What lies beyond is not part of a name.
const SUN_PATH: usize = 108;

/// Where a socket points.
///
/// In JSON a string: `192.0.2.1:443`, `[fe80::1%2]:53`, `unix:/path`, `unix:@abstract`, `unix:`
/// (unnamed) or `family:16` (a family that has no form here).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub enum Address {
    /// IPv4 or IPv6, as given: a v4-mapped address stays one until [`Address::canonical`].
    Inet(SocketAddr),
    /// A Unix socket.
    Unix(UnixName),
    /// Another family, by its number in `<linux/socket.h>`.
    Other {
        /// `sa_family`.
        family: u16,
    },
}

/// The three kinds of names of a Unix socket, unix(7).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A path, up to its NUL; bytes that are no UTF-8 are written `\xNN`.
    Path(String),
    /// A name in the abstract namespace, without the leading NUL. NULs in it count.
    Abstract(Vec<u8>),
    /// No name at all.
    Unnamed,
}

impl Address {
    /// A v4-mapped IPv6 address (`::ffff:192.0.2.1`) as the IPv4 address it reaches, everything
    /// else unchanged. Go dials IPv4 through IPv6 sockets in some cases, so two forms of one peer
    /// do occur.
    #[must_use]
    pub fn canonical(&self) -> Self {
        match self {
            Self::Inet(SocketAddr::V6(v6)) => match v6.ip().to_ipv4_mapped() {
                Some(v4) => Self::Inet(SocketAddr::new(v4.into(), v6.port())),
                None => self.clone(),
            },
            _ => self.clone(),
        }
    }

    /// The IP address and port, where there is one.
    #[must_use]
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            _ => None,
        }
    }
}

/// Reads a `struct sockaddr` of `bytes.len()` bytes.
///
/// `None` where the bytes do not reach the end of what makes the address: the family, for IPv4
/// the address (8 bytes), for IPv6 the address without scope (24 bytes, which the kernel accepts
/// as `SIN6_LEN_RFC2133`).
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Address> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    match u16::from_ne_bytes(*family) {
        AF_INET => inet(rest),
        AF_INET6 => inet6(rest),
        AF_UNIX => Some(Address::Unix(unix(rest))),
        family => Some(Address::Other { family }),
    }
}

fn inet(rest: &[u8]) -> Option<Address> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (address, _) = rest.split_first_chunk::<4>()?;
    let address = SocketAddrV4::new(Ipv4Addr::from(*address), u16::from_be_bytes(*port));
    Some(Address::Inet(address.into()))
}

fn inet6(rest: &[u8]) -> Option<Address> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (flow, rest) = rest.split_first_chunk::<4>()?;
    let (address, rest) = rest.split_first_chunk::<16>()?;
    let scope = rest.first_chunk::<4>().map_or(0, |scope| u32::from_ne_bytes(*scope));
    let (port, flow) = (u16::from_be_bytes(*port), u32::from_ne_bytes(*flow));
    let address = SocketAddrV6::new(Ipv6Addr::from(*address), port, flow, scope);
    Some(Address::Inet(address.into()))
}

fn unix(path: &[u8]) -> UnixName {
    let path = path.get(..SUN_PATH).unwrap_or(path);
    match path.split_first() {
        None => UnixName::Unnamed,
        Some((0, name)) => UnixName::Abstract(name.to_vec()),
        Some(_) => {
            let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
            UnixName::Path(text::lossy(path.get(..end).unwrap_or(path)))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
            Self::Other { family } => write!(f, "family:{family}"),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // `@` first would read as abstract; `./@x` is the same file.
            Self::Path(path) if path.starts_with('@') => write!(f, "unix:./{path}"),
            Self::Path(path) => write!(f, "unix:{path}"),
            Self::Abstract(name) => write!(f, "unix:@{}", spell(name)),
            Self::Unnamed => f.write_str("unix:"),
        }
    }
}

/// An abstract name in printable ASCII, so that [`unspell`] gives its bytes back.
fn spell(name: &[u8]) -> String {
    use fmt::Write as _;
    name.iter().fold(String::new(), |mut out, &byte| {
        match byte {
            b'\\' => out.push_str(r"\x5c"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => _ = write!(out, r"\x{byte:02x}"),
        }
        out
    })
}

fn unspell(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split(r"\x");
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        name.push(u8::from_str_radix(hex, 16).ok()?);
        name.extend_from_slice(rest.as_bytes());
    }
    Some(name)
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for Address {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The text is none of the forms of [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a socket address: expected HOST:PORT, unix:PATH, unix:@NAME or family:N")]
pub struct NotAnAddress;

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(family) = text.strip_prefix("family:") {
            return family.parse().map(|family| Self::Other { family }).map_err(|_| NotAnAddress);
        }
        let Some(name) = text.strip_prefix("unix:") else {
            return text.parse().map(Self::Inet).map_err(|_| NotAnAddress);
        };
        let name = match name.strip_prefix('@') {
            Some(spelled) => UnixName::Abstract(unspell(spelled).ok_or(NotAnAddress)?),
            None if name.is_empty() => UnixName::Unnamed,
            None => UnixName::Path(name.to_owned()),
        };
        Ok(Self::Unix(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn family(number: u16, rest: &[u8]) -> Vec<u8> {
        [&number.to_ne_bytes(), rest].concat()
    }

    fn shown(bytes: &[u8]) -> Option<String> {
        decode(bytes).map(|address| address.to_string())
    }

    #[test]
    fn inet_as_the_kernel_gives_it() {
        let mut bytes = family(AF_INET, &[0x01, 0xbb, 192, 0, 2, 1]);
        assert_eq!(shown(&bytes).as_deref(), Some("192.0.2.1:443"));
        bytes.extend([0; 8]);
        assert_eq!(shown(&bytes).as_deref(), Some("192.0.2.1:443"));
        assert_eq!(decode(&bytes[..7]), None);
    }

    fn inet6_bytes(ip: &str, scope: u32) -> Vec<u8> {
        let ip: Ipv6Addr = ip.parse().unwrap();
        let fields: [&[u8]; 4] = [&[0, 53], &[0; 4], &ip.octets(), &scope.to_ne_bytes()];
        family(AF_INET6, &fields.concat())
    }

    #[test]
    fn inet6_with_and_without_scope() {
        assert_eq!(shown(&inet6_bytes("::1", 0)).as_deref(), Some("[::1]:53"));
        let scoped = inet6_bytes("fe80::1", 2);
        assert_eq!(shown(&scoped).as_deref(), Some("[fe80::1%2]:53"));
        assert_eq!(shown(&scoped[..24]).as_deref(), Some("[fe80::1]:53"), "RFC 2133 length");
        assert_eq!(decode(&scoped[..23]), None);
    }

    #[test]
    fn a_mapped_address_stays_until_asked() {
        let mapped = decode(&inet6_bytes("::ffff:192.0.2.1", 0)).unwrap();
        assert_eq!(mapped.to_string(), "[::ffff:192.0.2.1]:53");
        assert_eq!(mapped.canonical().to_string(), "192.0.2.1:53");
        let plain = decode(&inet6_bytes("fe80::1", 2)).unwrap();
        assert_eq!(plain.canonical(), plain, "the scope is kept");
    }

    #[test]
    fn unix_names() {
        assert_eq!(
            shown(&family(AF_UNIX, b"/run/x.sock\0junk")).as_deref(),
            Some("unix:/run/x.sock")
        );
        assert_eq!(shown(&family(AF_UNIX, b"/run/\xff")).as_deref(), Some(r"unix:/run/\xff"));
        assert_eq!(shown(&family(AF_UNIX, b"\0bus\0\\")).as_deref(), Some(r"unix:@bus\x00\x5c"));
        assert_eq!(shown(&family(AF_UNIX, b"@file")).as_deref(), Some("unix:./@file"));
        assert_eq!(shown(&family(AF_UNIX, b"")).as_deref(), Some("unix:"));
        assert_eq!(shown(&family(16, b"")).as_deref(), Some("family:16"));
        assert_eq!(decode(&[1]), None);
    }

    #[test]
    fn a_name_ends_where_sun_path_ends() {
        let Some(Address::Unix(UnixName::Path(path))) = decode(&family(AF_UNIX, &[b'a'; 4096]))
        else {
            panic!("a path was given");
        };
        assert_eq!(path.len(), SUN_PATH);
    }

    proptest! {
        #[test]
        fn json_gives_the_address_back(bytes: Vec<u8>, kind in prop::sample::select(vec![1u16, 2, 10, 16])) {
            let Some(address) = decode(&family(kind, &bytes)) else { return Ok(()) };
            // The flow label has no place in text, and `./@x` is spelled out.
            let text = serde_json::to_string(&address).unwrap();
            let back: Address = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&back).unwrap(), text);
        }

        #[test]
        fn any_bytes_and_any_text(bytes: Vec<u8>, text: String) {
            _ = decode(&bytes);
            _ = text.parse::<Address>();
            _ = format!("unix:@{text}").parse::<Address>();
        }
    }
}
