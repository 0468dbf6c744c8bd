//! Sets of addresses as sorted, disjoint ranges.

/// An address as a number.
pub(super) trait Address: Copy + Ord {
    const MIN: Self;
    const MAX: Self;

    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

macro_rules! address {
    ($($number:ty),+) => {$(
        impl Address for $number {
            const MIN: Self = Self::MIN;
            const MAX: Self = Self::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )+};
}

address!(u32, u128);

/// Ranges of first and last address: sorted, and neither overlapping nor touching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ranges<A> {
    /// Most lists have one; it needs no memory of its own.
    One([(A, A); 1]),
    Many(Box<[(A, A)]>),
}

impl<A: Address> Ranges<A> {
    /// Every address.
    pub(super) fn all() -> Self {
        Self::One([(A::MIN, A::MAX)])
    }

    /// Whether `address` lies in any range.
    #[inline]
    pub(super) fn contains(&self, address: A) -> bool {
        self.reaching(address).first().is_some_and(|&(first, _)| first <= address)
    }

    /// Whether `other` has every address of this set.
    pub(super) fn within(&self, other: &Self) -> bool {
        self.list().iter().all(|&(first, last)| {
            other.reaching(last).first().is_some_and(|&(start, _)| start <= first)
        })
    }

    /// The addresses that `other` doesn't have.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for &(first, last) in self.list() {
            let mut from = Some(first);
            for &(hole, hole_end) in other.reaching(first) {
                let Some(start) = from.filter(|_| hole <= last) else {
                    break;
                };
                left.extend(hole.previous().filter(|&end| start <= end).map(|end| (start, end)));
                from = hole_end.next();
            }
            left.extend(from.filter(|&start| start <= last).map(|start| (start, last)));
        }
        left.into()
    }

    /// The ranges that end at `address` or after it.
    #[inline]
    fn reaching(&self, address: A) -> &[(A, A)] {
        let list = self.list();
        let before = match list {
            [(_, end)] => usize::from(*end < address),
            _ => list.partition_point(|&(_, last)| last < address),
        };
        list.get(before..).unwrap_or_default()
    }

    #[inline]
    fn list(&self) -> &[(A, A)] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

impl<A: Address> From<Vec<(A, A)>> for Ranges<A> {
    fn from(list: Vec<(A, A)>) -> Self {
        match *list {
            [one] => Self::One([one]),
            _ => Self::Many(list.into()),
        }
    }
}

impl<A: Address> FromIterator<(A, A)> for Ranges<A> {
    fn from_iter<I: IntoIterator<Item = (A, A)>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if end.next().is_none_or(|next| first <= next) => {
                    *end = last.max(*end);
                }
                _ => merged.push((first, last)),
            }
        }
        merged.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ranges near an edge of the numbers, and the same set as 24 bits.
    fn ranges(base: u32) -> impl Strategy<Value = (Ranges<u32>, u32)> {
        let range = (0..24u32, 0..24u32).prop_map(|(a, b)| (a.min(b), a.max(b)));
        proptest::collection::vec(range, 0..5).prop_map(move |list| {
            let bits = list
                .iter()
                .flat_map(|&(first, last)| first..=last)
                .fold(0, |bits, at| bits | 1 << at);
            let ranges = list.iter().map(|&(first, last)| (base + first, base + last));
            (ranges.collect(), bits)
        })
    }

    fn bits(ranges: &Ranges<u32>, base: u32) -> u32 {
        (0..24).fold(0, |bits, at| bits | u32::from(ranges.contains(base + at)) << at)
    }

    #[test]
    fn set_arithmetic_equals_that_of_bits() {
        for base in [0, 1 << 20, u32::MAX - 23] {
            proptest!(|((left, l) in ranges(base), (right, r) in ranges(base))| {
                prop_assert_eq!(bits(&left, base), l);
                prop_assert_eq!(bits(&left.minus(&right), base), l & !r);
                prop_assert_eq!(left.within(&right), l & !r == 0);
                let outside = Ranges::all().minus(&left);
                prop_assert_eq!(bits(&outside, base), !l & 0xff_ffff);
                prop_assert_eq!(Ranges::all().minus(&outside), left.clone());
                let apart = |pair: &[(u32, u32)]| pair[0].1 + 1 < pair[1].0;
                prop_assert!(left.list().windows(2).all(apart));
            });
        }
    }

    #[test]
    fn the_whole_space_is_one_range() {
        let whole: Ranges<u128> = [(0, u128::MAX), (5, 7)].into_iter().collect();
        assert_eq!(whole, Ranges::all());
        assert!(whole.contains(u128::MAX) && whole.minus(&whole).list().is_empty());
        let none: Ranges<u128> = [].into_iter().collect();
        assert!(!none.contains(0) && none.within(&whole) && !whole.within(&none));
    }
}
