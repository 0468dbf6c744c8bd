use std::collections::BTreeMap;

use super::roll::{Heartbeat, NodeRow, RollCall};

/// The rows of the nodes of one process, as the contract of
/// [`ChangeFeed`](crate::ChangeFeed) says.
#[derive(Default)]
pub(super) struct MemoryRoll {
    /// How often heartbeats were switched.
    switched: u64,
    is_on: bool,
    /// How many nodes have ever enrolled.
    enrolled: u64,
    rows: BTreeMap<String, NodeRow>,
}

impl MemoryRoll {
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(super) fn switch(&mut self, on: bool) {
        self.is_on = on;
        self.switched += 1;
    }

    pub(super) fn call(&mut self, beat: Heartbeat<'_>, gone: &[NodeRow]) -> RollCall {
        self.rows.retain(|_, row| !gone.contains(row));
        let own = match beat {
            Heartbeat::Look => None,
            Heartbeat::Enroll { lapses_after } => {
                self.enrolled += 1;
                let node = self.enrolled.to_string();
                Some(NodeRow { node, beats: 0, position: 0, lapses_after })
            }
            Heartbeat::Next { row, position, lapses_after } => {
                (self.rows.get(&row.node) == Some(row)).then(|| NodeRow {
                    node: row.node.clone(),
                    beats: row.beats + 1,
                    position,
                    lapses_after,
                })
            }
        };
        self.rows.extend(own.iter().map(|own| (own.node.clone(), own.clone())));
        let nodes = self.rows.values().cloned().collect();
        RollCall { epoch: self.is_on.then(|| self.switched.to_string()), own, nodes }
    }
}
