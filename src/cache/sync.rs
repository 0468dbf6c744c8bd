//! What threads meet at, under one name: the test of interleavings puts a model checker's
//! in its place.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering, fence};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
