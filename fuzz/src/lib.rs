//! What the fuzz targets share: inputs as text, and naive models to compare with.
//!
//! A model is written from the documentation, character by character and bit by bit, and
//! shares no code with the library.

pub mod address;
pub mod scope;
pub mod token;

use keyward::{Environment, KeyScheme, PepperRing};

/// The text at the start of `data`: what comes before the first byte that is none.
pub fn text(data: &[u8]) -> &str {
    match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&data[..error.valid_up_to()]).unwrap(),
    }
}

/// A pepper that is no secret.
pub fn peppers() -> PepperRing {
    PepperRing::from_bytes(b"a pepper that is known to anyone").unwrap()
}

/// A scheme whose prefixes are parts of each other, and one of which is retired.
pub fn scheme() -> KeyScheme {
    let places = [
        ("ak_live", Environment::PRODUCTION),
        ("ak_test", Environment::SANDBOX),
        ("live", Environment::PRODUCTION),
    ];
    let scheme = KeyScheme::new(peppers(), places).unwrap();
    scheme.retired("pv_1_x", Environment::PRODUCTION).unwrap()
}

/// The prefixes of [`scheme`].
pub const PREFIXES: [&str; 4] = ["ak_live", "ak_test", "live", "pv_1_x"];
