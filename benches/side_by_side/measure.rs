//! Interleaved batches: what disturbs one case disturbs them all.

use std::time::Instant;

/// Something to be timed: `run` does it as often as it is told.
pub(crate) struct Case<'a> {
    pub(crate) name: &'static str,
    batch: usize,
    run: Box<dyn FnMut(usize) + 'a>,
}

/// Nanoseconds of one operation, over all batches of a case.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) p10: f64,
    pub(crate) median: f64,
}

/// The most operations that are timed together.
const STRETCH: usize = 100;

impl<'a> Case<'a> {
    /// A case that is timed in batches of `batch` operations.
    pub(crate) fn new(name: &'static str, batch: usize, run: impl FnMut(usize) + 'a) -> Self {
        Self { name, batch, run: Box::new(run) }
    }
}

/// Runs a batch of every case, `rounds` times over and each time in another order: what a
/// case leaves to be done, such as pages to be written, isn't always the same other's burden.
pub(crate) fn interleaved(rounds: usize, mut cases: Vec<Case<'_>>) -> Vec<Figure> {
    let mut times = vec![Vec::with_capacity(rounds); cases.len()];
    let mut order: Vec<_> = (0..cases.len()).collect();
    let mut seed = 0;
    for _ in 0..rounds {
        shuffle(&mut order, &mut seed);
        for &at in &order {
            let (case, times) = (&mut cases[at], &mut times[at]);
            // A batch that isn't timed first: caches and branches are still the last case's.
            (case.run)(case.batch);
            // Stretches of one size for all cases: in a longer one a busy neighbour is
            // more often a part of it.
            let stretch = case.batch.min(STRETCH);
            for _ in 0..case.batch / stretch {
                let start = Instant::now();
                (case.run)(stretch);
                times.push(start.elapsed().as_secs_f64() * 1e9 / stretch as f64);
            }
        }
    }
    let figure = |(case, mut times): (&Case<'_>, Vec<f64>)| {
        times.sort_by(f64::total_cmp);
        Figure { name: case.name, p10: times[times.len() / 10], median: times[times.len() / 2] }
    };
    cases.iter().zip(times).map(figure).collect()
}

/// Fisher and Yates, by the linear congruential generator of Knuth's MMIX.
fn shuffle(order: &mut [usize], seed: &mut u64) {
    for last in (1..order.len()).rev() {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (*seed >> 33) as usize % (last + 1));
    }
}
