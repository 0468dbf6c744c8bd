//! Secrets are uniform and new, and an unwilling generator issues nothing.

use std::collections::HashSet;
use std::fmt;

use rand_core::{TryCryptoRng, TryRng};

use super::{SplitMix, scale};
use crate::token::{SECRET_LEN, Secret, generate, slot_of};

type Text = [u8; SECRET_LEN];

/// Chi-square per position over the characters of `alphabet`, as a normal deviate
/// (Wilson and Hilferty 1931); the largest in absolute terms.
fn worst_deviate(secrets: &[Text], positions: std::ops::Range<usize>, alphabet: &[u8]) -> f64 {
    let freedom = (alphabet.len() - 1) as f64;
    let expected = secrets.len() as f64 / alphabet.len() as f64;
    positions
        .map(|position| {
            let mut seen = [0u32; 256];
            for secret in secrets {
                seen[usize::from(secret[position])] += 1;
            }
            let square: f64 = alphabet
                .iter()
                .map(|&byte| (f64::from(seen[usize::from(byte)]) - expected).powi(2) / expected)
                .sum();
            let spread = 2.0 / (9.0 * freedom);
            ((square / freedom).cbrt() - (1.0 - spread)).abs() / spread.sqrt()
        })
        .fold(0.0, f64::max)
}

fn alphabet() -> Vec<u8> {
    (0..=255u8).filter(u8::is_ascii_alphanumeric).collect()
}

fn of_slot(slot: usize) -> Vec<u8> {
    alphabet().into_iter().filter(|byte| usize::from(byte & 1) == slot).collect()
}

fn secrets(slot: usize) -> Vec<Text> {
    let mut rng = SplitMix(slot as u64 + 1);
    (0..20_000 * scale()).map(|_| *Secret::generate(&mut rng, slot).unwrap().as_bytes()).collect()
}

/// Beyond it a position is called biased: one in 1e6 fair positions is.
const BIASED: f64 = 4.9;

#[test]
fn every_position_is_uniform_and_nothing_comes_twice() {
    let mut seen = HashSet::new();
    for slot in [0, 1] {
        let secrets = secrets(slot);
        assert!(worst_deviate(&secrets, 1..SECRET_LEN, &alphabet()) < BIASED);
        assert!(worst_deviate(&secrets, 0..1, &of_slot(slot)) < BIASED);
        for secret in &secrets {
            assert_eq!(slot_of(secret), slot);
            assert!(seen.insert(*secret));
        }
        for position in 0..SECRET_LEN {
            let characters: HashSet<u8> = secrets.iter().map(|secret| secret[position]).collect();
            assert_eq!(characters.len(), if position == 0 { 31 } else { 62 });
        }
    }
}

#[test]
fn the_parity_choice_leaves_255_bits() {
    assert_eq!((of_slot(0).len(), of_slot(1).len()), (31, 31));
    let bits = 31f64.log2() + 42.0 * 62f64.log2();
    assert!(bits > 255.0, "{bits}");
}

#[test]
fn biased_controls_fail_the_same_test() {
    let alphabet = alphabet();
    let mut rng = SplitMix(3);
    let mut control = |pick: fn(u64) -> u64| -> Vec<Text> {
        (0..20_000).map(|_| std::array::from_fn(|_| alphabet[pick(rng.next()) as usize])).collect()
    };
    let fair = control(|number| number % 62);
    let byte_modulo = control(|number| (number & 0xff) % 62);
    let six_bits_modulo = control(|number| (number & 63) % 62);
    let of = |secrets: &[Text]| worst_deviate(secrets, 0..SECRET_LEN, &alphabet);
    assert!(of(&fair) < BIASED);
    assert!(of(&byte_modulo) > BIASED);
    assert!(of(&six_bits_modulo) > BIASED);
}

#[test]
fn ids_are_uniform_and_new() {
    let mut rng = SplitMix(4);
    let mut seen = HashSet::new();
    let mut ones = [0u32; 64];
    let count = 20_000;
    for _ in 0..count {
        let id = generate(&mut rng, 0).unwrap().id;
        assert!(seen.insert(id));
        for (bit, ones) in ones.iter_mut().enumerate() {
            *ones += ((id >> bit) & 1) as u32;
        }
    }
    let spread = f64::from(count).sqrt() / 2.0;
    for (bit, &ones) in ones.iter().enumerate() {
        if bit < 60 {
            let deviate = (f64::from(ones) - f64::from(count) / 2.0) / spread;
            assert!(deviate.abs() < BIASED, "bit {bit}: {deviate}");
        } else {
            assert_eq!(ones, 0);
        }
    }
}

/// Gives `byte` in `calls` calls and fails after them; counts them.
struct Stubborn {
    calls: usize,
    made: usize,
    byte: u8,
}

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no entropy")
    }
}

impl std::error::Error for Refused {}

impl TryCryptoRng for Stubborn {}

impl TryRng for Stubborn {
    type Error = Refused;

    fn try_next_u32(&mut self) -> Result<u32, Refused> {
        Err(Refused)
    }

    fn try_next_u64(&mut self) -> Result<u64, Refused> {
        Err(Refused)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Refused> {
        self.made += 1;
        dst.fill(self.byte);
        if self.made > self.calls { Err(Refused) } else { Ok(()) }
    }
}

#[test]
fn a_failing_generator_issues_nothing() {
    for calls in 0..3 {
        let mut rng = Stubborn { calls, made: 0, byte: 0xff };
        assert!(generate(&mut rng, 0).is_err());
        let mut rng = Stubborn { calls, made: 0, byte: 0xff };
        assert!(Secret::generate(&mut rng, 1).is_err());
        assert_eq!(rng.made, calls + 1);
    }
}

#[test]
fn one_call_of_the_generator_is_one_key() {
    let mut rng = Stubborn { calls: 1, made: 0, byte: 5 };
    assert!(generate(&mut rng, 1).is_ok());
    assert_eq!(rng.made, 1);
    generate(&mut getrandom::SysRng, 0).unwrap();
}

#[test]
fn a_generator_behind_a_pointer_will_do() {
    let mut rng = SplitMix(9);
    let rng: &mut dyn TryCryptoRng<Error = std::convert::Infallible> = &mut rng;
    assert_eq!(slot_of(Secret::generate(rng, 1).unwrap().as_bytes()), 1);
}
