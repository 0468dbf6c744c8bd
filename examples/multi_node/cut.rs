//! What the nodes do when they are cut off the database.

use std::time::Duration;

use keyward::Timestamp;

use crate::fleet::Fleet;
use crate::proxy::Line;
use crate::report::millis;
use crate::verdict::Verdict;
use crate::world::World;
use crate::{Result, now};

/// One node, cut off once. Times are in milliseconds.
pub(crate) struct CutOff {
    pub(crate) round: usize,
    pub(crate) node: usize,
    pub(crate) line: Line,
    /// When it last accepted a key that was revoked during the cut, after the
    /// acknowledgement.
    pub(crate) stale: f64,
    /// When it first answered 503, after the cut.
    pub(crate) closed: f64,
    /// How long it let a client wait for a 503.
    pub(crate) waited: f64,
    /// When it next answered, after the line was back.
    pub(crate) back: f64,
    /// Whether it refuses the revoked key now, and never accepted it since.
    pub(crate) refuses: bool,
}

/// Cuts half the nodes off by closing their connections and half by silence, the other way
/// round in the next round, and revokes a key right after.
pub(crate) async fn measure(
    world: &mut World,
    round: usize,
    bound: Duration,
) -> Result<Vec<CutOff>> {
    let keys = world.issue("cut off", 2).await?;
    let [good, bad] = keys[..] else { return Err("two keys were asked for".into()) };
    world.fleet.look_closely(good.index).await?;
    world.fleet.look_closely(bad.index).await?;
    // New keys are read once more after the next pass: then they are settled.
    tokio::time::sleep(world.dice.millis(2_200, 3_200)).await;

    let kind =
        |node: usize| if (node + round).is_multiple_of(2) { Line::Closed } else { Line::Silent };
    let cut = now();
    for (number, node) in world.fleet.nodes.iter().enumerate() {
        node.set_lines(kind(number));
    }
    let receipt = world.admin.revoke(bad.id).await?;
    // So long that every client has had its 503.
    let beyond = cut.saturating_add(bound * 2 + Duration::from_secs(2));
    tokio::time::sleep(beyond.saturating_duration_since(now())).await;
    let limit = Duration::from_secs(10);
    let closed = |fleet: &Fleet| fleet.nodes.iter().all(|node| node.closed(cut).is_some());
    if !world.fleet.until(limit, closed).await? {
        return Err("a node never answered 503 while it was cut off the database".into());
    }

    let healed = now();
    world.fleet.set_lines(Line::Open);
    let is_back = |fleet: &Fleet| {
        fleet.nodes.iter().all(|node| node.opened(healed).is_some())
            && fleet.all_say(&[good.index], Verdict::Accepted)
            && fleet.all_say(&[bad.index], Verdict::Refused)
    };
    world.fleet.until(Duration::from_secs(20), is_back).await?;
    world.revoked.push(bad.index);

    let never = f64::INFINITY;
    let since = |at: Option<Timestamp>, start| at.map_or(never, |at| millis(at, start));
    let nodes = world.fleet.nodes.iter().enumerate().map(|(number, node)| CutOff {
        round,
        node: number,
        line: kind(number),
        stale: since(node.last_accepted(bad.index), receipt.at),
        closed: since(node.closed(cut), cut),
        waited: node.longest_wait(cut),
        back: since(node.opened(healed), healed),
        refuses: node.says(bad.index) == Some(Verdict::Refused),
    });
    Ok(nodes.collect())
}
