//! The API Keys page in a real browser: headless Chromium, driven by `chromedriver` over
//! `WebDriver`, against a service in this process.
//!
//! Every test also fails on any error in the browser's console and on any violation of the
//! page's policy. Screenshots are kept in `target/screenshots/`.

mod audit;
mod create;
mod driver;
mod hostile;
#[path = "../http_client/mod.rs"]
mod http_client;
mod keyboard;
mod lifecycle;
mod looks;
mod lost;
mod page;
mod paging;
mod secret;
mod session;
mod view;
mod world;
