//! A token that was typed wrong is refused offline.

use super::{SplitMix, known, parse, scale, token};

const TYPED: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-. ";

/// Runs `slip` on new tokens until it has made `count` texts that differ from their token.
fn none_undetected(count: usize, slip: impl Fn(&mut SplitMix, &mut Vec<u8>)) {
    let mut rng = SplitMix(count as u64);
    let mut made = 0;
    while made < count {
        let prefix = ["ak_live", "ak_test", "onv_sk_live"][rng.below(3)];
        let token = token(&mut rng, prefix);
        for _ in 0..8 {
            let mut typed = token.clone().into_bytes();
            slip(&mut rng, &mut typed);
            if typed == token.as_bytes() {
                continue;
            }
            made += 1;
            let typed = String::from_utf8(typed).unwrap();
            assert!(parse(&typed, known).is_err(), "{token} typed as {typed}");
        }
        assert!(parse(&token, known).is_ok());
    }
}

fn count() -> usize {
    20_000 * scale()
}

#[test]
fn substitutions() {
    none_undetected(count(), |rng, token| {
        for _ in 0..=rng.below(3) {
            let at = rng.below(token.len());
            token[at] = TYPED[rng.below(TYPED.len())];
        }
    });
}

#[test]
fn swaps_of_neighbours_and_of_others() {
    none_undetected(count(), |rng, token| {
        let at = rng.below(token.len() - 1);
        let other = if rng.below(2) == 0 { at + 1 } else { rng.below(token.len()) };
        token.swap(at, other);
    });
}

#[test]
fn truncations_at_either_end() {
    none_undetected(count(), |rng, token| {
        let lost = 1 + rng.below(token.len());
        if rng.below(2) == 0 {
            token.truncate(token.len() - lost);
        } else {
            token.drain(..lost);
        }
    });
}

#[test]
fn lost_and_doubled_characters() {
    none_undetected(count(), |rng, token| {
        let at = rng.below(token.len());
        if rng.below(2) == 0 {
            token.remove(at);
        } else {
            token.insert(at, token[at]);
        }
    });
}

#[test]
fn case_flips_and_folds() {
    none_undetected(count(), |rng, token| match rng.below(4) {
        0 => token.make_ascii_lowercase(),
        1 => token.make_ascii_uppercase(),
        2 => token[20..].make_ascii_lowercase(),
        _ => {
            let at = rng.below(token.len());
            if token[at].is_ascii_alphabetic() {
                token[at] ^= 0x20;
            }
        }
    });
}

#[test]
fn one_environment_written_for_another() {
    none_undetected(count(), |_, token| {
        let text = String::from_utf8(std::mem::take(token)).unwrap();
        *token = match text.strip_prefix("ak_live") {
            Some(tail) => format!("ak_test{tail}"),
            None => text.replacen("ak_test", "ak_live", 1),
        }
        .replacen("onv_sk_live", "ak_live", 1)
        .into_bytes();
    });
}

#[test]
fn halves_of_two_tokens() {
    let other = token(&mut SplitMix(77), "ak_live").into_bytes();
    none_undetected(count() / 4, |rng, token| {
        // Behind the first characters of the id: before them, half a token is the other one.
        let at = 20 + rng.below(55);
        token.truncate(at);
        token.extend_from_slice(&other[at..]);
    });
}
