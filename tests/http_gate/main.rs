//! The layer, seen from the other end of a socket.

#[path = "../fixture/mod.rs"]
mod fixture;

mod addresses;
mod codes;
mod credentials;
mod example;
mod forms;
mod many;
mod server;
mod waiting;
