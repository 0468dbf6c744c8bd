//! What must be found: the ways in which such code leaks.

use std::hint::black_box;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::marks::hide;

pub(crate) const ALL: [(&str, fn()); 5] = [
    ("control: tags compared with ==", equal),
    ("control: bytes until they differ", until_they_differ),
    ("control: a branch on a bit", branch),
    ("control: a table", table),
    ("control: base64 of a secret", base64),
];

fn secret() -> [u8; 32] {
    let secret = black_box([0x5a; 32]);
    hide(&secret);
    secret
}

fn equal() {
    let secret = secret();
    black_box(secret == black_box([0x5a; 32]));
    if secret == black_box([0x5b; 32]) {
        black_box(1);
    }
}

fn until_they_differ() {
    let secret = secret();
    black_box(secret.iter().zip(&black_box([0x5a; 32])).position(|(a, b)| a != b));
}

fn branch() {
    if secret()[7] & 4 != 0 {
        black_box(1);
    }
}

fn table() {
    let table: [u8; 256] = black_box([7; 256]);
    black_box(table[usize::from(secret()[3])]);
}

fn base64() {
    black_box(BASE64_STANDARD.encode(secret()));
}
