use std::time::Duration;

use keyward::{ApiKey, KeyId};

use crate::admin::Admin;
use crate::fleet::Fleet;
use crate::verdict::Verdict;
use crate::{Result, now};

/// The admin, the nodes, and all keys that were ever issued.
pub(crate) struct World {
    pub(crate) admin: Admin,
    pub(crate) fleet: Fleet,
    /// By index.
    pub(crate) tokens: Vec<ApiKey>,
    /// The indices of those that are revoked for good.
    pub(crate) revoked: Vec<usize>,
    pub(crate) dice: Dice,
}

/// A key that every node is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) index: usize,
}

impl World {
    pub(crate) fn new(admin: Admin, fleet: Fleet) -> Self {
        let dice = Dice(now().as_micros().unsigned_abs());
        Self { admin, fleet, tokens: Vec::new(), revoked: Vec::new(), dice }
    }

    /// Issues so many keys, and waits until every node accepts them.
    pub(crate) async fn issue(&mut self, name: &str, count: usize) -> Result<Vec<Key>> {
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            let (id, key) = self.admin.issue(name).await?;
            keys.push(Key { id, index: self.present(key).await? });
        }
        let indices: Vec<usize> = keys.iter().map(|key| key.index).collect();
        let all = |fleet: &Fleet| fleet.all_say(&indices, Verdict::Accepted);
        if self.fleet.until(Duration::from_secs(30), all).await? {
            Ok(keys)
        } else {
            Err("a node does not accept a new key".into())
        }
    }

    /// Has a token presented to every node, and gives its index.
    pub(crate) async fn present(&mut self, key: ApiKey) -> Result<usize> {
        let index = self.fleet.present(key.expose_secret()).await?;
        self.tokens.push(key);
        Ok(index)
    }

    /// What the database holds of each token.
    pub(crate) async fn truth(&self) -> Vec<Verdict> {
        let mut truth = Vec::with_capacity(self.tokens.len());
        for token in &self.tokens {
            truth.push(self.admin.verdict(token.expose_secret()).await);
        }
        truth
    }

    /// How many nodes say of any token what the database does not, once all agree or the
    /// time is up.
    pub(crate) async fn disagreeing(&mut self, limit: Duration) -> Result<usize> {
        let truth = self.truth().await;
        let end = now().saturating_add(limit);
        loop {
            let answers = self.fleet.ask().await?;
            let stale = answers.iter().filter(|answers| **answers != truth).count();
            if stale == 0 || now() > end {
                return Ok(stale);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `SplitMix64` (Steele, Lea and Flood 2014): good enough to spread revokes over time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        Duration::from_micros(from * 1_000 + mixed % ((to - from) * 1_000))
    }
}
