use subtle::{Choice, ConstantTimeEq};

use super::Tag;

/// Whether two tags are equal, in time that depends on neither.
///
/// The words are folded first and compared once: `subtle` on a byte slice costs
/// more than the compression that made the tag.
pub(crate) fn equal(a: &Tag, b: &Tag) -> Choice {
    let (a, _) = a.as_chunks::<8>();
    let (b, _) = b.as_chunks::<8>();
    a.iter()
        .zip(b)
        .fold(0, |differing, (a, b)| differing | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)))
        .ct_eq(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_bit_counts() {
        let tag: Tag = std::array::from_fn(|i| i.to_le_bytes()[0].wrapping_mul(37));
        assert!(bool::from(equal(&tag, &tag.clone())));
        for bit in 0..256 {
            let mut other = tag;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!bool::from(equal(&tag, &other)), "bit {bit}");
        }
    }
}
