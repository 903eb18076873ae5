//! The Merkle tree of a transparency log, and its tiles (golang.org/x/mod/sumdb/tlog; RFC 6962 2.1).

use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// A tree over records that do not change.
pub(super) struct Tree {
    /// `levels[k][n]` is the hash of the complete subtree over the records from n·2^k to (n+1)·2^k.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    pub(super) fn over(records: &[String]) -> Self {
        let mut levels = vec![records.iter().map(|record| leaf(record)).collect::<Vec<_>>()];
        while let Some(above) =
            levels.last().filter(|level| level.len() > 1).map(|level| pairs(level))
        {
            levels.push(above);
        }
        Self { levels }
    }

    pub(super) fn size(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// The hash of the whole tree: the complete subtrees it consists of, joined from the smallest to the largest.
    pub(super) fn root(&self) -> Hash {
        let mut left_over =
            self.levels.iter().filter(|level| level.len() % 2 == 1).filter_map(|l| l.last());
        let Some(&smallest) = left_over.next() else {
            return Sha256::digest([]).into();
        };
        left_over.fold(smallest, |right, left| node(left, &right))
    }

    /// The hashes in tile number `tile` of `level`, in tiles of this `height`, when it has at least `width` of them.
    pub(super) fn tile(
        &self,
        height: usize,
        level: usize,
        tile: usize,
        width: usize,
    ) -> Option<Vec<u8>> {
        let start = tile << height;
        let hashes = self.levels.get(level * height)?.get(start..start + width)?;
        Some(hashes.concat())
    }
}

fn leaf(record: &str) -> Hash {
    Sha256::new().chain_update([0]).chain_update(record).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

fn pairs(level: &[Hash]) -> Vec<Hash> {
    level.as_chunks::<2>().0.iter().map(|[left, right]| node(left, right)).collect()
}
