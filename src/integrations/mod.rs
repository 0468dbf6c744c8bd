//! The edge: one module per foreign crate, each behind its feature.
