//! TLS of the test servers: an authority of our own, certificates good and bad, and a handshake that can fail on purpose.

use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{Accepted, Acceptor};
use tempfile::TempDir;

use super::fault::{Faults, TlsFault};

/// The name of HTTP/2 in TLS.
const HTTP2: &[u8] = b"h2";

/// The certificate that a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// From the test authority, for the right names, valid now.
    Good,
    /// From an authority that nobody trusts.
    UnknownAuthority,
    /// From the test authority, for `elsewhere.example.com` alone.
    WrongName,
    /// From the test authority, for the right names, valid in the year 2001.
    Expired,
}

/// An authority that exists for one test. The go command trusts it alone when SSL_CERT_FILE names [`TestCa::file`].
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl TestCa {
    /// A fresh authority, with its certificate in a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "gmtrace test authority");
        let key = KeyPair::generate()?;
        std::fs::write(directory.path().join("ca.pem"), params.self_signed(&key)?.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), directory })
    }

    /// The certificate of the authority, PEM.
    pub fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The directory of [`TestCa::file`].
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A good certificate for these names, and for 127.0.0.1 and ::1.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn tls(&self, names: &[&str]) -> Result<Tls> {
        self.tls_with(names, Certificate::Good)
    }

    /// A certificate of this kind for these names, and for 127.0.0.1 and ::1.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn tls_with(&self, names: &[&str], certificate: Certificate) -> Result<Tls> {
        match certificate {
            Certificate::UnknownAuthority => TestCa::new()?.tls(names),
            Certificate::WrongName => self.issue(vec!["elsewhere.example.com".to_owned()], false),
            Certificate::Good => self.issue(with_loopback(names), false),
            Certificate::Expired => self.issue(with_loopback(names), true),
        }
    }

    fn issue(&self, names: Vec<String>, expired: bool) -> Result<Tls> {
        let mut params = CertificateParams::new(names)?;
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2001, 12, 31);
        }
        let key = KeyPair::generate()?;
        let chain =
            vec![CertificateDer::from(params.signed_by(&key, &self.issuer)?.der().to_vec())];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .context("the certificate that was just made")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config) })
    }
}

fn with_loopback(names: &[&str]) -> Vec<String> {
    names.iter().chain(&["127.0.0.1", "::1"]).map(|&name| name.to_owned()).collect()
}

/// What a server needs to speak TLS.
#[derive(Clone)]
pub struct Tls {
    pub(super) config: Arc<ServerConfig>,
}

impl Tls {
    /// Which also speaks HTTP/2 to clients that would rather (RFC 7301, RFC 9113 3.2).
    pub(super) fn with_http2(&self) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols.insert(0, HTTP2.to_vec());
        Self { config: Arc::new(config) }
    }

    /// Whether HTTP/2 will be chosen in this handshake.
    pub(super) fn chooses_http2(&self, accepted: &Accepted) -> bool {
        let mut offered = accepted.client_hello().alpn().into_iter().flatten();
        self.config.alpn_protocols.iter().any(|ours| ours == HTTP2) && offered.any(|p| p == HTTP2)
    }
}

/// A ClientHello as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The server name asked for. Clients send none for an address (RFC 6066 3).
    pub sni: Option<String>,
    /// Bytes on the wire, record header included.
    pub size: usize,
}

/// Reads the ClientHello, which the go command sends whole before it waits for an answer.
pub(super) fn read_hello(stream: &mut impl Read) -> io::Result<(Accepted, Hello)> {
    let mut acceptor = Acceptor::default();
    let mut size = 0;
    loop {
        let mut buffer = [0; 16 * 1024];
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        size += count;
        let mut bytes = Cursor::new(buffer.get(..count).unwrap_or_default());
        while (bytes.position() as usize) < count {
            acceptor.read_tls(&mut bytes)?;
        }
        if let Some(accepted) = acceptor.accept().map_err(|(error, _)| io::Error::other(error))? {
            let sni = accepted.client_hello().server_name().map(str::to_owned);
            return Ok((accepted, Hello { sni, size }));
        }
    }
}

/// What the faults do to a handshake whose ClientHello has been read. An error ends the connection.
pub(super) fn obstruct(faults: &Faults, hello: &Hello, stream: &mut impl Write) -> io::Result<()> {
    let (fault, ticket) = faults.of_handshake();
    match fault {
        Some(TlsFault::Silent) => faults.gate.hold(ticket),
        Some(TlsFault::SilentAbove(limit)) if hello.size > limit => faults.gate.hold(ticket),
        Some(TlsFault::Alert(number)) => {
            // An alert record (21) of TLS 1.2 with two bytes: fatal (2) and the number.
            stream.write_all(&[21, 3, 3, 0, 2, 2, number])?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        _ => Ok(()),
    }
}
