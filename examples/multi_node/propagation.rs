//! How long after a revoke the nodes still accept the key.

use std::time::Duration;

use keyward::Timestamp;

use crate::Result;
use crate::report::millis;
use crate::verdict::Verdict;
use crate::world::World;

/// Times from the acknowledged revoke to a node's first refusal, in milliseconds, sorted; 0
/// if the node knew before the admin did.
pub(crate) struct Propagation {
    pub(crate) times: Vec<f64>,
    /// Revokes that a node had not heard of when their receipt said that all had.
    pub(crate) lost: usize,
}

/// Revokes so many keys at random moments, one after another.
pub(crate) async fn measure(world: &mut World, revokes: usize) -> Result<Propagation> {
    let keys = world.issue("propagation", revokes).await?;
    let mut receipts = Vec::new();
    for key in &keys {
        world.fleet.look_closely(key.index).await?;
        tokio::time::sleep(world.dice.millis(10, 40)).await;
        receipts.push(world.admin.revoke(key.id).await?);
    }
    let indices: Vec<usize> = keys.iter().map(|key| key.index).collect();
    let limit = Duration::from_secs(30);
    world.fleet.until(limit, |fleet| fleet.all_say(&indices, Verdict::Refused)).await?;
    world.revoked.extend(&indices);

    let (mut times, mut lost) = (Vec::new(), 0);
    for (key, receipt) in keys.iter().zip(&receipts) {
        for node in &world.fleet.nodes {
            let refused = node.first(key.index, Verdict::Refused, Timestamp::UNIX_EPOCH);
            times.extend(refused.map(|at| millis(at, receipt.at)));
            let is_late = |last: Timestamp| last > receipt.everywhere_by;
            if refused.is_none() || node.last_accepted(key.index).is_some_and(is_late) {
                lost += 1;
            }
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(Propagation { times, lost })
}

impl Propagation {
    /// The time that this share of all is not above, by the nearest rank.
    pub(crate) fn quantile(&self, per_mille: usize) -> f64 {
        let rank = (self.times.len() * per_mille).div_ceil(1_000).max(1);
        self.times.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}
