//! What may go wrong in a seed.

use crate::nodes::{MILLI, Random, SECOND};

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The bound is changed.
    Bounds,
    /// Somebody sets the wall clocks.
    Clocks,
    Drops,
    Outages,
    /// Processes start anew.
    Restarts,
    Rewrites,
    /// Machines are suspended.
    Suspends,
    /// Heartbeats are switched on and off.
    Switches,
    Trims,
}

/// What may go wrong in a seed, and how much.
pub(crate) struct Weather {
    pub(crate) troubles: Vec<Trouble>,
    /// How often nodes look at the log by themselves, in a thousand steps.
    pub(crate) polls: u64,
    pub(crate) delay: u64,
    /// Whether there are heartbeats from the start.
    pub(crate) heartbeats: bool,
}

impl Weather {
    pub(crate) fn of(random: &mut Random) -> Self {
        use Trouble::{
            Bounds, Clocks, Drops, Outages, Restarts, Rewrites, Suspends, Switches, Trims,
        };
        let likely = [
            (Suspends, 400),
            // Not both: two clocks that are wrong together deceive.
            (Clocks, 400),
            (Bounds, 300),
            // Not both: a new process doesn't know of a longer bound that holds on.
            (Restarts, 300),
            (Drops, 500),
            (Outages, 500),
            (Rewrites, 600),
            (Trims, 300),
            (Switches, 400),
        ];
        let mut troubles = Vec::new();
        for (trouble, per_mille) in likely {
            let excluded = match trouble {
                Clocks => troubles.contains(&Suspends),
                Restarts => troubles.contains(&Bounds),
                _ => false,
            };
            if random.chance(per_mille) && !excluded {
                troubles.push(trouble);
            }
        }
        Self {
            troubles,
            polls: [0, 15, 50, 150][random.index(4)],
            delay: [0, 20 * MILLI, 800 * MILLI, 8 * SECOND][random.index(4)],
            heartbeats: random.chance(600),
        }
    }

    /// In which nodes hear of each other soon enough that it makes a difference.
    pub(crate) fn with_heartbeats(random: &mut Random) -> Self {
        Self {
            polls: [100, 200, 400][random.index(3)],
            delay: [0, 20 * MILLI, 200 * MILLI, 2 * SECOND][random.index(4)],
            heartbeats: true,
            ..Self::of(random)
        }
    }

    pub(crate) fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }
}
