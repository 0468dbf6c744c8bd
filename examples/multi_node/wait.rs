//! How long `revoke_and_wait` waits, when nodes say by heartbeat how far they have heard.

use std::time::Duration;

use crate::Result;
use crate::propagation::Propagation;
use crate::report::millis;
use crate::verdict::Verdict;
use crate::world::World;

/// Revokes so many keys, one after another, and asks every node once the wait is over: one
/// that doesn't refuse then is counted as lost.
pub(crate) async fn measure(
    world: &mut World,
    revokes: usize,
    bound: Duration,
) -> Result<Propagation> {
    let keys = world.issue("waited for", revokes + 1).await?;
    world.admin.set_heartbeats(true).await?;
    // Rows are believed when who may not know of the switch has lapsed. The admin, who does
    // nothing in the background, sees them for the first time in the first wait.
    tokio::time::sleep(bound + Duration::from_secs(2)).await;
    let (mut times, mut lost) = (Vec::new(), 0);
    for (number, key) in keys.iter().enumerate() {
        tokio::time::sleep(world.dice.millis(10, 40)).await;
        let (acknowledged, heard) = world.admin.revoke_and_wait(key.id).await?;
        let answers = world.fleet.ask().await?;
        let refuses = |of_node: &Vec<Verdict>| of_node.get(key.index) == Some(&Verdict::Refused);
        lost += answers.iter().filter(|of_node| !refuses(of_node)).count();
        if number > 0 {
            times.push(millis(heard, acknowledged));
        }
    }
    world.admin.set_heartbeats(false).await?;
    world.revoked.extend(keys.iter().map(|key| key.index));
    times.sort_by(f64::total_cmp);
    Ok(Propagation { times, lost })
}
