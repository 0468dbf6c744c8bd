//! What counters and leases are made of, in one place: a model checker puts its own here.

pub(super) use std::sync::atomic::AtomicU64;
pub(super) use std::sync::atomic::Ordering::Relaxed;
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
