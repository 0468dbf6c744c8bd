//! The admin API over real sockets.

mod authorization;
mod cross_site;
mod document;
mod errors;
mod held_back;
mod hostile_text;
#[path = "../http_client/mod.rs"]
mod http_client;
mod idempotency;
mod input;
mod lists;
mod pages;
mod routes;
mod secrecy;
mod world;
