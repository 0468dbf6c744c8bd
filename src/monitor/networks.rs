use super::origin::Origin;

/// How many origins of a key are remembered.
pub(super) const REMEMBERED: usize = 8;

/// The origins that a key was used from, the latest eight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Networks {
    origins: [Option<Origin>; REMEMBERED],
    /// The hour of the last use from each.
    hours: [u32; REMEMBERED],
}

impl Networks {
    /// Remembers a use. Whether the origin is new to a key that is not roaming: one that was
    /// used from more than eight within `settled` hours is, and its addresses say nothing.
    #[inline]
    pub(super) fn note(&mut self, origin: Origin, hour: u32, settled: u32) -> bool {
        let known = self.origins.iter().position(|known| *known == Some(origin));
        if let Some(seen) = known.and_then(|place| self.hours.get_mut(place)) {
            *seen = hour;
            return false;
        }
        self.replace(origin, hour, settled)
    }

    /// The same, without remembering it.
    pub(super) fn is_new(&self, origin: Origin, hour: u32, settled: u32) -> bool {
        !self.origins.contains(&Some(origin)) && !self.roams(hour, settled)
    }

    #[cold]
    fn replace(&mut self, origin: Origin, hour: u32, settled: u32) -> bool {
        let is_new = !self.roams(hour, settled);
        let places = self.origins.iter_mut().zip(&mut self.hours);
        // An empty place is the oldest of all.
        let oldest = places.min_by_key(|(known, seen)| (known.is_some(), **seen));
        if let Some((place, seen)) = oldest {
            (*place, *seen) = (Some(origin), hour);
        }
        is_new
    }

    fn roams(&self, hour: u32, settled: u32) -> bool {
        let recent = |seen: &u32| hour.saturating_sub(*seen) < settled;
        self.origins.iter().all(Option::is_some) && self.hours.iter().all(recent)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::grant::ClientIp;

    fn origin(n: u8) -> Origin {
        Origin::of(ClientIp::Peer(Ipv4Addr::new(192, 0, 2, n).into())).unwrap()
    }

    proptest! {
        /// Against a list without a bound: of the origins by their last use, the latest
        /// eight are known, and a key is roaming if the eighth was used of late.
        #[test]
        fn the_latest_eight_are_known(
            uses in prop::collection::vec((0u8..14, 0u32..6), 0..200),
        ) {
            let (mut networks, mut model) = (Networks::default(), Vec::<(u8, u32)>::new());
            let mut hour = 0;
            for (number, later) in uses {
                // A tie between hours may be broken either way.
                hour += later + 1;
                let known = model.iter().rev().take(REMEMBERED).any(|(n, _)| *n == number);
                let eighth = model.len().checked_sub(REMEMBERED).map(|place| model[place].1);
                let roams = eighth.is_some_and(|seen| hour - seen < 30);
                let origin = origin(number);
                prop_assert_eq!(networks.is_new(origin, hour, 30), !known && !roams);
                prop_assert_eq!(networks.note(origin, hour, 30), !known && !roams);
                model.retain(|(n, _)| *n != number);
                model.push((number, hour));
            }
        }
    }
}
