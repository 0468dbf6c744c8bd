//! Models run under shuttle: how often, and with which threads.

use shuttle::thread;

/// Under schedules drawn evenly, and as many with few switches at unlikely places: 500 of each
/// by default, times `KEYWARD_TEST_SCALE`.
pub(crate) fn check(model: impl Fn() + Send + Sync + Clone + 'static) {
    let scale = std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|text| text.parse().ok());
    draw(500 * scale.unwrap_or(1), model);
}

/// The same for a model that is broken on purpose: it ends where the fault is found, and draws
/// so many schedules that not to find it is no accident of the seed.
pub(crate) fn must_find(model: impl Fn() + Send + Sync + Clone + 'static) {
    draw(100_000, model);
}

fn draw(iterations: usize, model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), iterations);
    shuttle::check_pct(model, iterations, 3);
}

/// What these threads return, one after the other.
pub(crate) fn run<T: Send + 'static>(threads: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}
