//! Signed notes (golang.org/x/mod/sumdb/note).

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest, Sha256};

/// The number of the Ed25519 algorithm in a verifier key.
const ED25519: u8 = 1;

/// Signs notes under a name.
pub(super) struct Signer {
    name: String,
    key: Ed25519KeyPair,
}

impl Signer {
    /// A fresh key.
    pub(super) fn new(name: &str) -> Result<Self> {
        let secret = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let secret = secret.map_err(|_| anyhow!("no random numbers for a key"))?;
        let key = Ed25519KeyPair::from_pkcs8(secret.as_ref()).map_err(|why| anyhow!("{why}"))?;
        Ok(Self { name: name.to_owned(), key })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `NAME+HASH+KEY`: what stands in GOSUMDB.
    pub(super) fn verifier(&self) -> String {
        let hash = u32::from_be_bytes(self.key_hash());
        format!("{}+{hash:08x}+{}", self.name, BASE64.encode(self.algorithm_and_key()))
    }

    /// `text`, which ends in a newline, with its signature.
    pub(super) fn sign(&self, text: &str) -> String {
        let mut signature = self.key_hash().to_vec();
        signature.extend(self.key.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.name, BASE64.encode(signature))
    }

    fn algorithm_and_key(&self) -> Vec<u8> {
        [&[ED25519], self.key.public_key().as_ref()].concat()
    }

    fn key_hash(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(format!("{}\n", self.name))
            .chain_update(self.algorithm_and_key())
            .finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }
}
