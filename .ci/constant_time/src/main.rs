//! Whether anything branches on a secret, or looks in a place that depends on one.
//!
//! Each scenario is run under valgrind's memcheck with the secrets marked as undefined: what
//! is computed from them is undefined too, and memcheck reports each jump and each address
//! that depends on it (Langley's ctgrind). A report is a finding, unless the library's source
//! says above the line that what is decided there is told to everybody: `// Public: …`.
//! Controls leak on purpose, and must be reported.
//!
//! It prints a table, and fails if anything was found or a control wasn't.

mod controls;
mod findings;
mod marks;
mod scenarios;

use std::process::ExitCode;

use findings::Findings;

fn main() -> ExitCode {
    let run = scenarios::ALL.iter().chain(&controls::ALL);
    if let Some(name) = std::env::args().nth(1) {
        let found = run.into_iter().find(|(known, _)| *known == name);
        let (_, run) = found.expect("a scenario of this name");
        run();
        return ExitCode::SUCCESS;
    }
    let mut is_clean = true;
    for (name, _) in &scenarios::ALL {
        let Findings { secret, public } = Findings::of(name);
        println!("{name:<32} {} findings, {} public decisions", secret.len(), public.len());
        for finding in &secret {
            println!("  {finding}");
        }
        // A scenario in which nothing is decided has marked nothing.
        is_clean &= secret.is_empty() && !public.is_empty();
    }
    for (name, _) in &controls::ALL {
        let fires = !Findings::of(name).secret.is_empty();
        println!("{name:<32} {}", if fires { "found" } else { "NOT FOUND" });
        is_clean &= fires;
    }
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
