//! The admin API over real sockets.

#[path = "../http_client/mod.rs"]
mod http_client;
mod pages;
mod routes;
mod world;
