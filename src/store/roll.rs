use std::time::Duration;

/// What one node says of itself when the roll is called
/// ([`ChangeFeed::roll_call`](crate::ChangeFeed::roll_call)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat<'a> {
    /// It wants a row: under a name that no node has ever had, which the store makes, with
    /// no beats and at position 0.
    Enroll {
        /// For how long after a beat the node may use what it keeps.
        lapses_after: Duration,
    },
    /// Nothing, and looks at what the others have said.
    Look,
    /// It has applied the log up to a position, which takes the place of what its row says.
    Next {
        /// Its row as it was told of it last: if that has changed, or is gone, nothing happens.
        row: &'a NodeRow,
        /// The last position of the log that it has applied.
        position: u64,
        /// For how long after this beat the node may use what it keeps.
        lapses_after: Duration,
    },
}

/// A node that may use what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name: random, and never another node's.
    pub node: String,
    /// How often it has beaten.
    pub beats: u64,
    /// The position up to which it has applied the log.
    pub position: u64,
    /// For how long after its last beat it may use what it keeps.
    pub lapses_after: Duration,
}

/// What the store says when the roll is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollCall {
    /// Another text after each switch of heartbeats, and after anything by which the store
    /// may have lost what it had acknowledged; `None` while they are off.
    pub epoch: Option<String>,
    /// The row of the node that beat or enrolled; `None` if its row was not as it said.
    pub own: Option<NodeRow>,
    /// Every row there is, its own among them.
    pub nodes: Vec<NodeRow>,
}
