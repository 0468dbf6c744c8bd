//! The extractor, and answers as responses.

mod extract;
mod respond;

pub use self::extract::MissingLayer;
