//! The manual. One chapter per module, in reading order; nothing here is code.
//!
//! 1. [Token format](_01_token_format): what a key looks like, and why each part.
//! 2. [Threat model](_02_threat_model): who attacks, what they can do, and what not.
//! 3. [How to](_03_howto): issue, verify, restrict, rotate, revoke, and the rest.
//! 4. [Writing a store](_04_writing_a_store): where keys are kept.
//! 5. [Defaults](_05_defaults): every default, its value and its reason.
//! 6. [Past failures](_06_past_failures): what went wrong elsewhere, and what prevents it here.
//! 7. [Running many nodes](_07_many_nodes): what staleness is promised, and what happens when
//!    things fail.
//! 8. [Choosing a store](_08_choosing_a_store): memory, SQLite, PostgreSQL, and what Redis is for.
//! 9. [Migrations](_09_migrations): of documents and of tables.
//! 10. [Backup and restore](_10_backup_and_restore): the store and the pepper apart, and what to
//!     do again after a restore.
//! 11. [Scaling](_11_scaling): what so many keys and verifies need.
//! 12. [Protecting routes](_12_protecting_routes): the layer, where the key is, who the client is
//!     behind proxies, what the answers say, and other frameworks.
//! 13. [Admin API](_13_admin_api): mounting it, who may use it, and every route.
//! 14. [The API Keys page](_14_console): mounting it, what it can do, and what it can't leak.
//! 15. [Watching](_15_watching): alerts, events and metrics, and what to do on each.
//! 16. [Product pages](_16_product_pages): where four products' pages about their API keys come
//!     true, section by section.

// The chapters' links name what the crate exports.
#[cfg(doc)]
use crate::*;

#[doc = include_str!("token_format.md")]
pub mod _01_token_format {}

#[doc = include_str!("threat_model.md")]
pub mod _02_threat_model {}

#[doc = include_str!("howto.md")]
pub mod _03_howto {}

#[doc = include_str!("writing_a_store.md")]
pub mod _04_writing_a_store {}

#[doc = include_str!("defaults.md")]
pub mod _05_defaults {}

#[doc = include_str!("past_failures.md")]
pub mod _06_past_failures {}

#[doc = include_str!("many_nodes.md")]
pub mod _07_many_nodes {}

#[doc = include_str!("choosing_a_store.md")]
pub mod _08_choosing_a_store {}

#[doc = include_str!("migrations.md")]
pub mod _09_migrations {}

#[doc = include_str!("backup_and_restore.md")]
pub mod _10_backup_and_restore {}

#[doc = include_str!("scaling.md")]
pub mod _11_scaling {}

#[doc = include_str!("protecting_routes.md")]
pub mod _12_protecting_routes {}

#[doc = include_str!("admin_api.md")]
pub mod _13_admin_api {}
#[doc = include_str!("console.md")]
pub mod _14_console {}
#[doc = include_str!("watching.md")]
pub mod _15_watching {}

#[doc = include_str!("product_pages.md")]
pub mod _16_product_pages {}
