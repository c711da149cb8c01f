//! The digest under which a session is stored.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The most bytes a session id may have.
pub const MAX_SID_BYTES: usize = 1024;

/// The most bytes a user name may have.
pub const MAX_USER_NAME_BYTES: usize = 1024;

/// The SHA-256 of a session id's bytes. In no other form is a session id stored, used as a key, or shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; Self::LEN]);

impl Digest {
    /// Bytes of a digest.
    pub const LEN: usize = 32;

    /// The digest of a session id, which may be any bytes.
    pub fn of(sid: &[u8]) -> Self {
        Self(Sha256::digest(sid).into())
    }

    /// The digest with these bytes; `None` if there are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl From<[u8; Self::LEN]> for Digest {
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

/// Lower-case hexadecimal, 64 characters, as PostgreSQL's `encode(digest, 'hex')`.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 2 * Self::LEN];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST FIPS 180-2, appendix B.1.
    #[test]
    fn is_sha256_of_the_bytes() {
        assert_eq!(
            Digest::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn takes_exactly_thirty_two_bytes() {
        assert_eq!(Digest::from_bytes(Digest::of(b"x").as_bytes()), Some(Digest::of(b"x")));
        assert_eq!(Digest::from_bytes(&[0; 31]), None);
        assert_eq!(Digest::from_bytes(&[0; 33]), None);
    }
}
