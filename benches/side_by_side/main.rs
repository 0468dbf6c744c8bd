//! Whole verifications beside their floor and a peer, in one process.
//!
//! Batches are short and interleaved, and ratios are of 10th percentiles: a busy
//! neighbour then slows all cases alike. `KEYWARD_BENCH_KEYS` sets the size of the
//! large set (a million), `KEYWARD_BENCH_ROUNDS` the number of batches of a case.

#![allow(clippy::cast_precision_loss)]

mod keys;
mod measure;
mod report;

use std::hint::black_box;

use hmac::{Hmac, KeyInit, Mac};
use keys::{
    Refusal, Seeded, TOKEN_LEN, issue, key, refusals, request, service, service_with, verify,
};
use keyward::{KeyService, TickingClock};
use measure::{Case, interleaved};
use prefixed_api_key::{PrefixedApiKey, PrefixedApiKeyController};
use report::{Report, machine, resident};
use sha2::Sha256;
use sha2::block_api::compress256;

const HOT: usize = 1_000;

fn main() {
    let large = number("KEYWARD_BENCH_KEYS", 1_000_000);
    let rounds = number("KEYWARD_BENCH_ROUNDS", 1_000);
    println!("{}", machine());
    println!(
        "hot: {HOT} keys in shuffled order on a MemoryStore, each with an expiry, a network, two \
         scopes and a local rate limit; the time from a TickingClock, or from the SystemClock \
         where the name says so\nlarge: {large} such keys, one at random each time\n"
    );

    let mut report = Report::default();
    let keys = service(1);
    let refusals = refusals(&keys);
    let tokens = hot_tokens(&keys);
    allocations(&mut report, &keys, &tokens, &refusals);
    // The allocator counts, which would slow the peer down and not us.
    allocation_counter::opt_out(|| hot(&mut report, rounds, &keys, &tokens, &refusals));
    large_set(&mut report, rounds, large);
    ratios(&mut report, &refusals);

    report.table("hmac_53", "H");
    println!();
    report.bar("verify_hot_over_hmac", "<= 1.7", |ratio| ratio <= 1.7);
    report.bar("verify_hot_over_prefixed_api_key", "< 1.0", |ratio| ratio < 1.0);
    report.bar("reject_malformed_over_hmac", "<= 0.4", |ratio| ratio <= 0.4);
    report.bar("allocations_per_verify", "0", |count| count == 0.0);
    report.bar("allocations_per_reject", "0", |count| count == 0.0);
    println!("\n{}", report.write("side_by_side.json").display());
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

fn hot_tokens(keys: &KeyService) -> Vec<String> {
    let mut tokens: Vec<String> = (0..HOT).map(|number| issue(keys, key(number))).collect();
    Seeded(2).shuffle(&mut tokens);
    tokens
}

/// Allocations of a verify that is allowed, and of the worst kind of refusal.
fn allocations(report: &mut Report, keys: &KeyService, tokens: &[String], refusals: &[Refusal]) {
    let request = request();
    let warm = |()| tokens.iter().for_each(|token| assert!(verify(keys, token, &request)));
    warm(());
    let allowed = allocation_counter::measure(|| warm(()));
    report.number("allocations_per_verify", allowed.count_total as f64 / HOT as f64);
    let refused = refusals.iter().map(|Refusal { name, token, request }| {
        let refused = || assert!(!verify(keys, token, request), "{name}");
        refused();
        allocation_counter::measure(refused).count_total
    });
    report.number("allocations_per_reject", refused.max().unwrap_or(0) as f64);
}

fn hot(
    report: &mut Report,
    rounds: usize,
    keys: &KeyService,
    tokens: &[String],
    refusals: &[Refusal],
) {
    let request = request();
    let clock = TickingClock::new();
    let ticked = service_with(1, clock.clone());
    let ticked_tokens = hot_tokens(&ticked);
    let mut cases = vec![
        floor("hmac_53"),
        two_compressions(),
        peer(),
        verify_hot("verify_hot", &ticked, &ticked_tokens, move || clock.tick()),
        verify_hot("verify_hot_system_clock", keys, tokens, || {}),
        Case::new("verify_same_key", 100, |count| {
            for _ in 0..count {
                assert!(verify(keys, black_box(&tokens[0]), black_box(&request)));
            }
        }),
    ];
    for Refusal { name, token, request } in refusals {
        cases.push(Case::new(name, 100, move |count| {
            for _ in 0..count {
                assert!(!verify(keys, black_box(token), black_box(request)));
            }
        }));
    }
    let issuing = service(3);
    let mut issued = 0;
    cases.push(Case::new("issue", 4, move |count| {
        for _ in 0..count {
            black_box(issue(&issuing, key(issued)));
            issued += 1;
        }
    }));
    cases.push(Case::new("getrandom_64", 4, |count| {
        for _ in 0..count {
            let mut bytes = [0; 64];
            getrandom::fill(black_box(&mut bytes)).unwrap();
        }
    }));
    report.times(interleaved(rounds, cases));
}

/// Whole verifies, each of another key.
fn verify_hot<'a>(
    name: &'static str,
    keys: &'a KeyService,
    tokens: &'a [String],
    before: impl Fn() + 'a,
) -> Case<'a> {
    let request = request();
    let mut next = 0;
    Case::new(name, HOT, move |count| {
        before();
        for _ in 0..count {
            assert!(verify(keys, black_box(&tokens[next]), black_box(&request)));
            next = (next + 1) % tokens.len();
        }
    })
}

/// H: one HMAC-SHA256 of the `hmac` crate over 53 bytes, from a cloned state.
fn floor(name: &'static str) -> Case<'static> {
    let keyed = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
    let mut message = [9; 53];
    Case::new(name, 100, move |count| {
        for _ in 0..count {
            let mut mac = black_box(&keyed).clone();
            mac.update(black_box(&message));
            let tag = mac.finalize().into_bytes();
            message[0] = tag[0];
        }
    })
}

/// The least that such an HMAC can cost.
fn two_compressions() -> Case<'static> {
    let mut block = [9; 64];
    Case::new("two_compressions", 100, move |count| {
        for _ in 0..count {
            let mut state = [1; 8];
            compress256(&mut state, &[black_box(block)]);
            block[0] = state[0].to_le_bytes()[0];
            let mut state = [2; 8];
            compress256(&mut state, &[black_box(block)]);
            block[0] = state[0].to_le_bytes()[0];
        }
    })
}

/// prefixed-api-key's parse and check, of as many keys; it has no lookup.
fn peer() -> Case<'static> {
    let controller = PrefixedApiKeyController::<_, prefixed_api_key::sha2::Sha256>::configure()
        .prefix("ak".to_owned())
        .rng(prefixed_api_key::rand::rngs::OsRng)
        .default_lengths()
        .finalize()
        .unwrap();
    let generated = (0..HOT).map(|_| controller.generate_key_and_hash());
    let keys: Vec<(String, String)> =
        generated.map(|(key, hash)| (key.to_string(), hash)).collect();
    let mut next = 0;
    Case::new("prefixed_api_key", HOT, move |count| {
        for _ in 0..count {
            let (token, hash) = black_box(&keys[next]);
            let key = PrefixedApiKey::from_string(token).unwrap();
            assert!(black_box(controller.check_hash(&key, hash)));
            next = (next + 1) % keys.len();
        }
    })
}

fn large_set(report: &mut Report, rounds: usize, large: usize) {
    let keys = service(4);
    // Written before memory is measured, so that only the keys are.
    let mut tokens = vec![b'.'; large * TOKEN_LEN];
    let before = resident();
    let allocated = allocation_counter::measure(|| {
        for (number, place) in tokens.chunks_mut(TOKEN_LEN).enumerate() {
            place.copy_from_slice(issue(&keys, key(number)).as_bytes());
        }
    });
    let resident = resident().zip(before).map(|(after, before)| after - before);
    let bytes = resident.unwrap_or_else(|| u64::try_from(allocated.bytes_current).unwrap());
    report.number("keys_1m", large as f64);
    report.number("bytes_per_key_1m", bytes as f64 / large as f64);
    println!(
        "large: {} resident bytes a key, index by owner and audit log included; {} allocated",
        bytes / large as u64,
        allocated.bytes_current / i64::try_from(large).expect("a number of keys")
    );

    let request = request();
    let mut rng = Seeded(5);
    let verify_1m = move |count| {
        for _ in 0..count {
            let at = rng.below(large) * TOKEN_LEN;
            let token = str::from_utf8(&tokens[at..at + TOKEN_LEN]).unwrap();
            assert!(verify(&keys, black_box(token), black_box(&request)));
        }
    };
    let cases = vec![floor("hmac_53_beside_1m"), Case::new("verify_1m", 100, verify_1m)];
    allocation_counter::opt_out(|| report.times(interleaved(rounds, cases)));
}

fn ratios(report: &mut Report, refusals: &[Refusal]) {
    report.ratio("verify_hot", "hmac_53");
    report.ratio("verify_hot", "prefixed_api_key");
    report.ratio("verify_hot_system_clock", "hmac_53");
    report.ratio("verify_hot_system_clock", "prefixed_api_key");
    let mut malformed = 0.0_f64;
    for Refusal { name, .. } in refusals {
        let ratio = report.ratio(name, "hmac_53");
        if name.starts_with("malformed") {
            malformed = malformed.max(ratio);
        }
    }
    report.number("reject_malformed_over_hmac", malformed);
    report.ratio("malformed_length_1mib", "malformed_length");
    let over = report.p10("verify_1m") / report.p10("hmac_53_beside_1m");
    report.number("verify_1m_over_hmac", over);
    report.ratio("issue", "getrandom_64");
}
