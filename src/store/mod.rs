//! Where keys are kept: the traits and their contract, and the store in memory.

mod contract;
mod limit;
mod memory;
mod memory_limit;
mod query;
mod shared;

pub use self::contract::{Change, Expect, KeyStore, OwnerCap, UsageStore};
pub use self::limit::{Charge, LimitStore, LimitSubject, SharedLimit, SharedLimitStore, Taken};
pub use self::memory::MemoryStore;
pub use self::memory_limit::MemoryLimitStore;
pub use self::query::{KeyQuery, ListPosition, LogOrder, LogQuery};
pub use self::shared::SharedKeyStore;
