//! The table, the bars and the JSON.

use std::fs;
use std::path::PathBuf;

use crate::measure::Figure;

/// Names and numbers, in the order in which they were found.
#[derive(Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    pub(crate) numbers: Vec<(String, f64)>,
}

impl Report {
    pub(crate) fn times(&mut self, figures: Vec<Figure>) {
        for figure in figures {
            self.number(&format!("{}_ns", figure.name), figure.p10);
            self.number(&format!("{}_median_ns", figure.name), figure.median);
            self.figures.push(figure);
        }
    }

    pub(crate) fn number(&mut self, name: &str, number: f64) {
        self.numbers.push((name.to_owned(), number));
    }

    /// `p10` of one case over that of another.
    pub(crate) fn ratio(&mut self, name: &str, over: &str) -> f64 {
        let short = over.strip_suffix("_53").unwrap_or(over);
        let ratio = self.p10(name) / self.p10(over);
        self.number(&format!("{name}_over_{short}"), ratio);
        ratio
    }

    pub(crate) fn p10(&self, name: &str) -> f64 {
        self.figures.iter().find(|figure| figure.name == name).unwrap().p10
    }

    /// Every time, and as a multiple of the floor's.
    pub(crate) fn table(&self, floor: &str, short: &str) {
        let floor = self.p10(floor);
        let over = format!("p10 / {short}");
        println!("{:<28} {:>10} {:>10} {over:>12}", "ns of one operation", "p10", "median");
        for Figure { name, p10, median } in &self.figures {
            println!("{name:<28} {p10:>10.1} {median:>10.1} {:>12.2}", p10 / floor);
        }
    }

    /// Prints a bar and whether it is met.
    pub(crate) fn bar(&self, name: &str, rule: &str, met: impl Fn(f64) -> bool) {
        let (_, number) = self.numbers.iter().find(|(known, _)| known == name).unwrap();
        let verdict = if met(*number) { "met" } else { "NOT MET" };
        println!("{name:<36} {number:>8.3}  {rule:<8} {verdict}");
    }

    /// Writes a flat object to a file of this name in the target directory.
    pub(crate) fn write(&self, file: &str) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
            PathBuf::from,
        );
        let lines: Vec<String> = self
            .numbers
            .iter()
            .map(|(name, number)| format!("  \"{name}\": {}", (number * 1e4).round() / 1e4))
            .collect();
        fs::create_dir_all(&target).unwrap();
        let path = target.join(file);
        fs::write(&path, format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
        path
    }
}

/// The processor, its number of cores, and whether it has SHA instructions.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_once(": ").map(|(_, value)| value.to_owned())
    };
    let model = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
    let sha = flags.split(' ').any(|flag| flag == "sha_ni" || flag == "sha2");
    format!("{model}, {cores} cores, SHA instructions: {}", if sha { "yes" } else { "no" })
}

/// Bytes of this process that are in memory.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
