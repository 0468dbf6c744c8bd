//! The admin API over real sockets.

mod document;
mod errors;
#[path = "../http_client/mod.rs"]
mod http_client;
mod pages;
mod routes;
mod world;
