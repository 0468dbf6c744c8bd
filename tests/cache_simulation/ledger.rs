//! What was promised, and whether it was kept.

use std::collections::HashMap;

use keyward::{KeyId, KeyRecord};

use crate::NODES;
use crate::nodes::{Database, is_revoked};

/// What has been promised and seen.
#[derive(Default)]
pub(crate) struct Ledger {
    /// When a revoke was acknowledged, and until when the key may still be accepted, in
    /// real time.
    pub(crate) revoked: HashMap<KeyId, (u64, u64)>,
    /// When a node was told that a revoke is in effect everywhere, before its bound had
    /// passed, and of what record.
    pub(crate) everywhere: HashMap<KeyId, (String, u64)>,
    /// How often that was so.
    pub(crate) early: u64,
    /// When a node's own revoke of a key was acknowledged, and of what record.
    pub(crate) own: HashMap<(usize, KeyId), (String, u64)>,
    /// When a node last saw a key revoked, and by what record.
    pub(crate) seen: HashMap<(usize, KeyId), (String, u64)>,
    /// Until when each node's promises may fall short, for a bound it never heard of.
    pub(crate) unknown: [u64; NODES],
    /// Since when a key is known to be there, in the database as it is now.
    since: HashMap<KeyId, u64>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) unavailable: u64,
    pub(crate) faults: Vec<String>,
}

impl Ledger {
    /// A node was told that its revoke is in effect everywhere.
    pub(crate) fn told(&mut self, node: usize, id: KeyId, document: String, database: &Database) {
        self.early += 1;
        let at = database.time.now().max(self.unknown[node]);
        // Unless that copy is gone already.
        if database.record(id).is_some_and(|record| record.to_document() == document) {
            self.everywhere.entry(id).or_insert((document, at));
        }
    }

    /// Since when a key has been there, if that is longer than any answer may be old.
    pub(crate) fn stood(&mut self, id: KeyId, now: u64, database: &Database) -> Option<u64> {
        const LONGEST_BOUND: u64 = 12_500_000;
        database.record(id)?;
        let since = *self.since.entry(id).or_insert(now);
        (now > since + LONGEST_BOUND).then_some(since)
    }

    /// Whether it was there all the time since: no row is ever deleted, but the database may
    /// be replaced.
    pub(crate) fn stands(&self, id: KeyId, since: u64) -> bool {
        self.since.get(&id) == Some(&since)
    }

    /// All rows may be others now.
    pub(crate) fn replaced(&mut self) {
        self.since.clear();
    }

    pub(crate) fn saw(
        &mut self,
        node: usize,
        id: KeyId,
        began: u64,
        now: u64,
        answer: Option<&Option<KeyRecord>>,
        held: Option<&KeyRecord>,
    ) {
        const TICK: u64 = 10;
        let Some(answer) = answer else {
            self.unavailable += 1;
            return;
        };
        let Some(record) = answer else { return };
        if is_revoked(record) {
            self.refused += 1;
            self.seen.insert((node, id), (record.to_document(), now));
            return;
        }
        self.accepted += 1;
        // Who asked before that was acknowledged may be told what held then.
        let revoked = self.revoked.get(&id).filter(|(acknowledged, _)| began > *acknowledged);
        if let Some((_, by)) = revoked.filter(|(_, by)| now > *by + TICK) {
            let late = now - by;
            self.faults.push(format!("node {node} accepted {id} at {now}, {late} us too late"));
        }
        // If that is what the database still holds, and no copy without it came between.
        let holds = |document: &String| held.is_some_and(|held| held.to_document() == *document);
        if let Some((document, at)) = self.everywhere.get(&id)
            && began > *at
            && holds(document)
        {
            self.faults.push(format!("node {node}: {id} accepted at {now}, refused everywhere"));
        }
        for (seen, what) in
            [(&self.seen, "came back from the dead"), (&self.own, "outlived its own revoke")]
        {
            if let Some((document, at)) = seen.get(&(node, id))
                && began > *at
                && holds(document)
            {
                self.faults.push(format!("node {node}: {id} {what} at {now}"));
            }
        }
    }
}
