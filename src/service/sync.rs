//! What requests wait at, under one name: the test of schedules puts its own in its place.

pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
