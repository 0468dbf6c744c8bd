//! The tables, the bars and the JSON.

use std::path::PathBuf;
use std::time::Duration;

use keyward::Timestamp;

use crate::Result;
use crate::cut::CutOff;
use crate::propagation::Propagation;
use crate::proxy::Line;
use crate::restore::Restored;

/// Names and numbers, in the order in which they were found.
#[derive(Default)]
pub(crate) struct Report {
    numbers: Vec<(&'static str, f64)>,
    unsafe_bars: usize,
}

impl Report {
    pub(crate) fn sizes(&mut self, nodes: usize, revokes: usize) {
        self.number("nodes", count(nodes));
        self.number("revokes", count(revokes));
    }

    pub(crate) fn propagation(&mut self, hinted: &Propagation, polled: &Propagation) {
        self.number("revoke_p50_ms_hint", hinted.quantile(500));
        self.number("revoke_p99_ms_hint", hinted.quantile(990));
        self.number("revoke_max_ms_hint", hinted.quantile(1_000));
        self.number("revoke_p50_ms_no_hint", polled.quantile(500));
        self.number("revoke_p99_ms_no_hint", polled.quantile(990));
        self.number("revoke_max_ms_no_hint", polled.quantile(1_000));
    }

    pub(crate) fn waited(&mut self, waited: &Propagation) {
        self.number("revoke_and_wait_p50_ms", waited.quantile(500));
        self.number("revoke_and_wait_p99_ms", waited.quantile(990));
        self.number("revoke_and_wait_max_ms", waited.quantile(1_000));
    }

    pub(crate) fn cut_off(&mut self, cuts: &[CutOff], bound: Duration) {
        let max = |of: fn(&CutOff) -> f64| cuts.iter().map(of).fold(0.0, f64::max);
        self.number("bound_ms", bound.as_secs_f64() * 1e3);
        self.number("max_stale_ms_db_cut", max(|cut| cut.stale));
        self.number("max_first_503_ms_db_cut", max(|cut| cut.closed));
        self.number("max_wait_ms_db_cut", max(|cut| cut.waited));
        self.number("max_back_ms_db_cut", max(|cut| cut.back));
    }

    pub(crate) fn restored(&mut self, restored: Option<&Restored>) {
        let Some(restored) = restored else { return };
        let after = restored.noticed.iter().map(|(_, after)| after.unwrap_or(f64::INFINITY));
        self.number("max_rewrite_noticed_ms", after.fold(0.0, f64::max));
        self.number("stale_nodes_after_rewrite", count(restored.stale));
        self.number("revoked_again", count(restored.revoked_again));
    }

    /// Revokes that a node did not know in time, in any part.
    pub(crate) fn lost(
        &mut self,
        parts: &[&Propagation],
        cuts: &[CutOff],
        restored: Option<&Restored>,
        resurrections: usize,
    ) {
        let in_parts: usize = parts.iter().map(|part| part.lost).sum();
        let in_cuts = cuts.iter().filter(|cut| !cut.refuses).count();
        let in_restore = restored.map_or(0, |restored| restored.lost);
        self.number("lost_revocations", count(in_parts + in_cuts + in_restore));
        self.number("resurrections", count(resurrections));
    }

    /// Prints every bar and whether it is met.
    pub(crate) fn bars(&mut self, bound: Duration) {
        let longest = bound.as_secs_f64() * 1e3 + 1e3;
        self.bar("revoke_p99_ms_hint", "< 50", |millis| millis < 50.0);
        self.bar("revoke_p99_ms_no_hint", "< 1500", |millis| millis < 1_500.0);
        let rule = format!("<= {longest}");
        self.safety_bar("max_stale_ms_db_cut", &rule, |millis| millis <= longest);
        for name in ["stale_nodes_after_rewrite", "lost_revocations", "resurrections"] {
            self.safety_bar(name, "0", |count| count == 0.0);
        }
    }

    fn number(&mut self, name: &'static str, number: f64) {
        self.numbers.push((name, number));
    }

    /// Prints a bar and whether it is met, if it was measured.
    fn bar(&self, name: &str, rule: &str, met: impl Fn(f64) -> bool) -> bool {
        let Some((_, number)) = self.numbers.iter().find(|(known, _)| *known == name) else {
            println!("{name:<28} {:>9}  {rule:<8} skipped", "-");
            return true;
        };
        let met = met(*number);
        println!("{name:<28} {number:>9.1}  {rule:<8} {}", if met { "met" } else { "NOT MET" });
        met
    }

    /// The same, of a bar that is about safety and not about speed.
    fn safety_bar(&mut self, name: &str, rule: &str, met: impl Fn(f64) -> bool) {
        if !self.bar(name, rule, met) {
            self.unsafe_bars += 1;
        }
    }

    pub(crate) fn is_safe(&self) -> bool {
        self.unsafe_bars == 0
    }

    /// Writes `multi_node.json`, a flat object, to the target directory.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        let lines: Vec<String> = self
            .numbers
            .iter()
            .map(|(name, number)| match (number * 1e3).round() / 1e3 {
                number if number.is_finite() => format!("  \"{name}\": {number}"),
                _ => format!("  \"{name}\": null"),
            })
            .collect();
        let path = target()?.join("multi_node.json");
        std::fs::write(&path, format!("{{\n{}\n}}\n", lines.join(",\n")))?;
        Ok(path)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

pub(crate) fn target() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    std::fs::create_dir_all(&target)?;
    Ok(target)
}

/// From one instant to another; nothing if it came first.
pub(crate) fn millis(at: Timestamp, since: Timestamp) -> f64 {
    at.saturating_duration_since(since).as_secs_f64() * 1e3
}

pub(crate) fn propagation(title: &str, measured: &Propagation) {
    let Propagation { times, lost } = measured;
    let [p50, p99, max] = [500, 990, 1_000].map(|per_mille| measured.quantile(per_mille));
    let times = times.len();
    println!("{title:<12} {times:>8} {p50:>9.1} {p99:>9.1} {max:>9.1} {lost:>6}");
}

pub(crate) fn cut_off(nodes: &[CutOff], bound: Duration) {
    println!(
        "\nCut off the database; a key is revoked at once. The bound is {} ms. \
         Milliseconds:",
        bound.as_millis()
    );
    println!("round  node  cut by   last yes  first 503  503 took  back  then");
    for CutOff { round, node, line, stale, closed, waited, back, refuses } in nodes {
        let round = round + 1;
        let line = if *line == Line::Silent { "silence" } else { "closing" };
        let then = if *refuses { "refuses" } else { "ACCEPTS IT" };
        println!(
            "{round:<6} {node:<5} {line:<8} {stale:>8.0} {closed:>10.0} \
             {waited:>9.0} {back:>5.0}  {then}"
        );
    }
    println!(
        "last yes: to the revoked key, after the acknowledgement; first 503: to any key, after the \
         cut\n(early if its record was due to be read again); 503 took: the longest that a client \
         waited for\none; back: the first other answer after the line was; then: what is said to \
         the revoked key"
    );
}

pub(crate) fn restored(restored: &Restored) {
    let Restored { heads: [copied, head, outgrown], changed, stale, .. } = restored;
    println!("\nReplaced by an older copy of itself:");
    println!("  the log ended at {head}; that of the copy at {copied}, and later at {outgrown}");
    for (number, (late, noticed)) in restored.noticed.iter().enumerate() {
        let met = if *late { "away until the log had outgrown its place" } else { "there" };
        match noticed {
            Some(after) => {
                println!("  node {number} ({met}): history rewritten, after {after:.0} ms");
            }
            None => println!("  node {number} ({met}): NOTICED NOTHING"),
        }
    }
    println!("  {changed} tokens are judged otherwise by the copy; {stale} nodes differ from it");
    let Restored { alive_again, revoked_again, lost, .. } = restored;
    println!(
        "  {alive_again} revoked keys were alive again; {revoked_again} revoked again from the \
         exported log; {lost} lost"
    );
}
