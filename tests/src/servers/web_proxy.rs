//! A web proxy (HTTP CONNECT, RFC 9110 9.3.6), for HTTPS_PROXY.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;

use super::http::{Body, Request, Response};
use super::server::Site;

/// Carries tunnels. The faults of its server apply: `Silent` is a CONNECT without answer, `Status(407, ..)` asks for
/// credentials, `BodyThenSilence(n)` lets n bytes through from the far end and then nothing more.
///
/// The go command never asks a proxy for `localhost` or a loopback address (golang.org/x/net/http/httpproxy), so scenarios use a
/// name, which the proxy itself routes.
#[derive(Debug, Default)]
pub struct WebProxy {
    routes: HashMap<String, SocketAddr>,
}

impl WebProxy {
    /// A proxy that reaches what this machine reaches.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends what is meant for `host_and_port` to `address`.
    #[must_use]
    pub fn route(mut self, host_and_port: &str, address: SocketAddr) -> Self {
        self.routes.insert(host_and_port.to_owned(), address);
        self
    }

    fn connect(&self, target: &str) -> std::io::Result<TcpStream> {
        if let Some(address) = self.routes.get(target) {
            return TcpStream::connect(address);
        }
        TcpStream::connect(target.to_socket_addrs()?.collect::<Vec<_>>().as_slice())
    }
}

impl Site for WebProxy {
    fn answer(&self, request: &Request) -> Response {
        if request.method != "CONNECT" {
            return Response::text(501, "this proxy carries tunnels alone");
        }
        match self.connect(&request.target) {
            Ok(far) => {
                Response { status: 200, headers: Vec::new(), body: Body::Tunnel(Arc::new(far)) }
            }
            Err(error) => Response::text(502, &error.to_string()),
        }
    }
}
