//! What may be where.

/// A module of `src/`, and the modules it may import.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) may_import: &'static [&'static str],
}

/// The layers from the bottom up. A layer imports only what stands above it in this
/// list, and of that only what it needs; a new arrow is a line in this table, with
/// a reason.
pub(crate) const LAYERS: [Layer; 21] = [
    // Says what went wrong, and so knows nothing that can.
    Layer { name: "error", may_import: &[] },
    // How a value is written as one string and read again. It knows none of the values.
    Layer { name: "text", may_import: &[] },
    // Instants; a text that is none is a field error.
    Layer { name: "timestamp", may_import: &["error", "text"] },
    // What a key looks like. No time and no pepper: a key can be read without either.
    Layer { name: "token", may_import: &["error", "text"] },
    // Tags over bytes. It doesn't know what a token or a record is, so that nothing
    // but bytes can ever be under a tag.
    Layer { name: "mac", may_import: &["error", "text"] },
    // What a key may do, as values. No time: the same grants always match the same.
    Layer { name: "grant", may_import: &["error", "text"] },
    // Keys in foreign text. It needs their shape only, so it runs where no pepper is.
    Layer { name: "leak", may_import: &["token"] },
    // Counting. Time comes in as an argument; whose counters they are it doesn't know.
    Layer { name: "limit", may_import: &["error", "timestamp"] },
    // The prefixes (with their environments) and the keys derived from the peppers. It
    // doesn't know records: sealing one is `verify`'s.
    Layer { name: "scheme", may_import: &["error", "grant", "leak", "mac", "timestamp", "token"] },
    // Everything a key is, as data. It names tags and peppers, and can't make either.
    Layer {
        name: "record",
        may_import: &["error", "grant", "limit", "mac", "text", "timestamp", "token"],
    },
    // Decides about a record; whether the secret was proven is not its question.
    Layer { name: "policy", may_import: &["error", "grant", "limit", "record", "timestamp"] },
    // Proves a secret and a seal, then asks `policy`, then takes the limits.
    Layer {
        name: "verify",
        may_import: &[
            "error",
            "grant",
            "limit",
            "mac",
            "policy",
            "record",
            "scheme",
            "timestamp",
            "token",
        ],
    },
    // For a run under valgrind alone.
    Layer { name: "secret_memory", may_import: &["mac", "record", "scheme"] },
    // Keeps records it can't judge: neither scheme nor policy nor verify is in reach.
    Layer {
        name: "store",
        may_import: &["error", "grant", "limit", "record", "timestamp", "token"],
    },
    // Keeps what a store has read. Of the scheme it knows the names of the two lanes that
    // a read may take, and nothing that could tell which.
    Layer {
        name: "cache",
        may_import: &["error", "record", "scheme", "store", "timestamp", "token"],
    },
    // Puts the parts together; the only one that may know nearly all of them. The store
    // whose type is forgotten is here too: it has to know the cache, and the stores don't.
    Layer {
        name: "service",
        may_import: &[
            "cache",
            "error",
            "grant",
            "limit",
            "mac",
            "policy",
            "record",
            "scheme",
            "store",
            "timestamp",
            "token",
            "verify",
        ],
    },
    // Counts what the service tells of. The store is out of its reach, and so is every
    // change: whatever it concludes, it can do nothing to a key.
    Layer {
        name: "monitor",
        may_import: &["grant", "policy", "record", "scheme", "service", "timestamp", "token"],
    },
    // Tries a foreign store. It makes the records it commits, and doesn't use the
    // service: a store must hold its contract under any caller.
    Layer {
        name: "conformance",
        may_import: &[
            "error",
            "grant",
            "limit",
            "mac",
            "policy",
            "record",
            "scheme",
            "store",
            "timestamp",
            "token",
            "verify",
        ],
    },
    // A request's head in, a decision or an answer out. It knows what HTTP says and no
    // crate that speaks it, so that every framework can be served by the same code.
    Layer {
        name: "gate",
        may_import: &[
            "error",
            "grant",
            "limit",
            "policy",
            "record",
            "scheme",
            "service",
            "timestamp",
            "token",
            "verify",
        ],
    },
    // The edge, where foreign crates are: stores below the service, what drives it, and the
    // admin API, which hands what it reads to the service as environments, actors and requests
    // and answers with the bodies of `verify`.
    Layer {
        name: "integrations",
        may_import: &[
            "cache",
            "error",
            // The layer of tower is the gate, given a request of the `http` crate.
            "gate",
            "grant",
            "limit",
            // Alerts become events and counts.
            "monitor",
            "policy",
            "record",
            // Counters are made for the environments of a scheme.
            "scheme",
            "store",
            "service",
            "timestamp",
            "token",
            "verify",
        ],
    },
    // Words.
    Layer { name: "manual", may_import: &[] },
];

/// The one file that reads a clock.
pub(crate) const CLOCK: &str = "timestamp/clock.rs";

/// Where futures may be made and awaited.
pub(crate) const ASYNC: [&str; 6] =
    ["store", "cache", "service", "conformance", "gate", "integrations"];

/// Where the process, its threads and its files may be touched: `service` and `store`
/// neither spawn nor open anything; a suite of tests may.
pub(crate) const FREE_OF_IO: [&str; 17] = [
    "error",
    "text",
    "timestamp",
    "token",
    "mac",
    "grant",
    "leak",
    "limit",
    "scheme",
    "record",
    "policy",
    "verify",
    "store",
    "cache",
    "service",
    "gate",
    "monitor",
];

/// What input and output look like. `std::net` is for addresses alone.
pub(crate) const IO: [&str; 16] = [
    "std::thread",
    "std::fs",
    "std::io",
    "std::process",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "include_bytes!",
];

pub(crate) const CLOCK_READS: [&str; 7] = [
    "SystemTime::now",
    "Instant::now",
    "OffsetDateTime::now",
    "UtcDateTime::now",
    "::now_utc",
    ".elapsed(",
    "::now()",
];

/// The most lines of code in a file, without tests, comments and blank lines.
pub(crate) const LONGEST: usize = 400;

/// Words that say nothing of what a type is.
pub(crate) const EMPTY_WORDS: [&str; 6] = ["Manager", "Handler", "Helper", "Data", "Util", "Utils"];
