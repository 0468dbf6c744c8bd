//! What the nodes do when an older copy takes the place of the database.

use std::time::Duration;

use keyward::Timestamp;

use crate::admin::Admin;
use crate::proxy::Line;
use crate::report::millis;
use crate::server::Server;
use crate::verdict::Verdict;
use crate::world::World;
use crate::{Result, now};

/// How many keys of each kind there are.
const KEYS: usize = 5;
const COPY: &str = "copy";

pub(crate) struct Restored {
    /// The log's last position: when the copy was made, when it took over, and before the
    /// last nodes saw it.
    pub(crate) heads: [u64; 3],
    /// How many tokens the copy judges otherwise than the lost database did.
    pub(crate) changed: usize,
    /// By node: whether it met a log that had grown beyond the one it knew, and after how
    /// many milliseconds it found that it was another.
    pub(crate) noticed: Vec<(bool, Option<f64>)>,
    /// Nodes that then did not say of each key what the database does.
    pub(crate) stale: usize,
    /// Revoked keys that the copy accepts, since their revokes were in the lost history only.
    pub(crate) alive_again: usize,
    pub(crate) revoked_again: usize,
    /// Revokes, of the lost history or later, that a node does not know after that.
    pub(crate) lost: usize,
}

pub(crate) async fn measure(
    world: &mut World,
    server: &mut Server,
    connect: impl AsyncFn(&Server) -> Result<Admin>,
    bound: Duration,
) -> Result<Restored> {
    let slack = bound + Duration::from_secs(1);
    prepare(world, server).await?;
    if world.disagreeing(slack).await? > 0 {
        return Err("the nodes did not agree before the copy took over".into());
    }
    let log = world.admin.export_log().await?;
    let head = world.admin.head().await?;
    let lost_truth = world.truth().await;

    // The first half watch it happen; the others are away until the log has outgrown theirs.
    let half = world.fleet.nodes.len() / 2;
    for node in world.fleet.nodes.iter().skip(half) {
        node.set_lines(Line::Closed);
    }
    let replaced = now();
    server.replace_by(COPY).await?;
    let there = now();
    world.admin = connect(server).await?;
    let copied = world.admin.head().await?;
    let all = |from: usize, to: usize| {
        move |fleet: &crate::fleet::Fleet| {
            let mut nodes = fleet.nodes.iter().take(to).skip(from);
            nodes.all(|node| node.rewritten(replaced).is_some())
        }
    };
    world.fleet.until(slack, all(0, half)).await?;
    let mut outgrown = copied;
    while outgrown <= head {
        // New keys: no entry is about any that the nodes keep.
        world.admin.issue("after the restore").await?;
        outgrown = world.admin.head().await?;
    }
    let healed = now();
    world.fleet.set_lines(Line::Open);
    world.fleet.until(slack, all(half, world.fleet.nodes.len())).await?;
    let truth = world.truth().await;
    let changed = truth.iter().zip(&lost_truth).filter(|(one, other)| one != other).count();
    let accepted = |index: &&usize| truth.get(**index) == Some(&Verdict::Accepted);
    let alive_again = world.revoked.iter().filter(accepted).count();
    let stale = world.disagreeing(slack).await?;
    let noticed = world.fleet.nodes.iter().enumerate().map(|(number, node)| {
        let late = number >= half;
        let start = if late { healed } else { there };
        (late, node.rewritten(replaced).map(|at| millis(at, start)))
    });
    let noticed = noticed.collect();

    let (revoked_again, everywhere_by) = world.admin.revoke_again(&log).await?;
    let lost = lost(world, everywhere_by).await?;
    let heads = [copied, head, outgrown];
    Ok(Restored { heads, changed, noticed, stale, alive_again, revoked_again, lost })
}

impl Restored {
    /// Errs unless an older history did take the place of a newer one, which is what the
    /// counts of stale nodes and lost revokes are about, and every node told of it.
    pub(crate) fn happened(&self) -> Result {
        let [copied, head, _] = self.heads;
        if copied >= head {
            return Err(format!(
                "no older copy took the database's place: the log ended at {head}, and that of \
                 the copy at {copied}"
            )
            .into());
        }
        if self.changed == 0 {
            return Err("the copy judges every token as the lost database did".into());
        }
        if self.alive_again == 0 {
            return Err("no revoked key was alive again in the copy".into());
        }
        match self.noticed.iter().position(|(_, noticed)| noticed.is_none()) {
            Some(node) => Err(format!(
                "node {node} did not notice that the database was replaced by an older copy"
            )
            .into()),
            None => Ok(()),
        }
    }
}

/// Makes keys, a copy, and then changes of every kind that the copy does not know.
async fn prepare(world: &mut World, server: &Server) -> Result {
    let before = world.issue("revoked before the copy", KEYS).await?;
    let after = world.issue("revoked after the copy", KEYS).await?;
    let disabled = world.issue("disabled after the copy", KEYS).await?;
    let enabled = world.issue("enabled after the copy", KEYS).await?;
    let regenerated = world.issue("regenerated after the copy", KEYS).await?;
    world.issue("left alone", KEYS).await?;
    let Admin { keys, actor, .. } = world.admin.clone();
    for key in &enabled {
        keys.disable(&actor, key.id).await?;
    }
    for key in &before {
        keys.revoke(&actor, key.id, keyward::Reason::Unused).await?;
        world.revoked.push(key.index);
    }
    server.copy_to(COPY).await?;
    for key in &after {
        keys.revoke(&actor, key.id, keyward::Reason::Compromised).await?;
        world.revoked.push(key.index);
    }
    for key in &disabled {
        keys.disable(&actor, key.id).await?;
    }
    for key in &enabled {
        keys.enable(&actor, key.id).await?;
    }
    for key in &regenerated {
        let issued = keys.regenerate(&actor, key.id).await?;
        world.present(issued.into_key()).await?;
    }
    world.issue("issued after the copy", KEYS).await.map(drop)
}

/// How many of all revoked keys any node accepts, or can't judge, at the promised instant.
async fn lost(world: &mut World, everywhere_by: Timestamp) -> Result<usize> {
    tokio::time::sleep(everywhere_by.saturating_duration_since(now())).await;
    let answers = world.fleet.ask().await?;
    let refused = |index: &&usize| {
        answers.iter().all(|answers| answers.get(**index) == Some(&Verdict::Refused))
    };
    Ok(world.revoked.len() - world.revoked.iter().filter(refused).count())
}
