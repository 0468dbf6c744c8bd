//! The layer, seen from the other end of a socket.

#[path = "../fixture/mod.rs"]
mod fixture;

mod codes;
mod server;
