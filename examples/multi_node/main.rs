//! What several nodes do over one `PostgreSQL`, measured:
//! `cargo run --example multi_node --all-features`.
//!
//! Verifier processes, each with a cache of its own, verify keys without a pause while one
//! admin revokes them:
//!
//! 1. with hints, 2. with hints cut: how long until every node refuses;
//! 3. with heartbeats: how long `revoke_and_wait` takes, after which every node is asked;
//! 4. with the nodes cut off the database: how long a revoked key goes on, and when a node
//!    fails closed;
//! 5. with the database replaced by an older copy of itself: whether every node notices.
//!
//! It starts a server of its own from the installed programs. `KEYWARD_DATABASE` may name
//! another, by a URL over TCP without TLS: then part 5 is skipped, and the tables go into a
//! schema that is dropped at the end. `KEYWARD_NODES` is the number of processes (4),
//! `KEYWARD_REVOKES` that of revokes in parts 1 and 2 each (200; part 3 has a tenth),
//! `KEYWARD_CUTS` that of rounds of part 4 (2).
//!
//! Figures are in `target/multi_node.json`, the distribution is drawn in
//! `target/multi_node.svg`. It fails if a revoke is lost or a node stale, or if what that is
//! counted after did not happen, and not for being slow on a busy machine.

mod admin;
mod chart;
mod cut;
mod fleet;
mod node;
mod propagation;
mod proxy;
mod report;
mod restore;
mod server;
mod verdict;
mod wait;
mod world;

use std::error::Error;
use std::process::ExitCode;
use std::time::SystemTime;

use keyward::{AccessRequest, Environment, KeyScheme, PepperRing, Timestamp};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor};
use tokio::runtime::Builder;

use admin::Admin;
use chart::Curve;
use fleet::Fleet;
use node::Place;
use proxy::Line;
use report::Report;
use server::Server;
use world::World;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Environment variables of a node, and of whoever has a server.
const DATABASE: &str = "KEYWARD_DATABASE";
const PEPPER: &str = "KEYWARD_PEPPER";

const REQUEST: AccessRequest<'_> = AccessRequest::new(Environment::PRODUCTION);

fn main() -> ExitCode {
    let done = match Place::from_arguments() {
        Some(place) => Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(node::run(&place)))
            .map(|()| true),
        None => Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(run())),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("multi_node: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether no revoke was lost and no node stale.
async fn run() -> Result<bool> {
    let sizes = Sizes {
        nodes: number("KEYWARD_NODES", 4)?,
        revokes: number("KEYWARD_REVOKES", 200)?,
        cuts: number("KEYWARD_CUTS", 2)?,
    };
    if let Ok(url) = std::env::var(DATABASE) {
        let schema = format!("keyward_multi_node_{}", std::process::id());
        println!(
            "the server of {DATABASE}, in its schema `{schema}`; part 5 is skipped, since it \
             replaces the server"
        );
        let made = execute(&url, format!("CREATE SCHEMA \"{schema}\"")).await;
        made.map_err(|error| format!("{DATABASE}: {error}"))?;
        let done = measure(&sizes, &url, &schema, None).await;
        execute(&url, format!("DROP SCHEMA \"{schema}\" CASCADE")).await?;
        return done;
    }
    let mut server = Server::start().await?;
    println!("a PostgreSQL of our own, on port {}", server.port());
    let url = server.url();
    let done = measure(&sizes, &url, "public", Some(&mut server)).await;
    server.end().await?;
    done
}

struct Sizes {
    nodes: usize,
    revokes: usize,
    cuts: usize,
}

async fn measure(
    sizes: &Sizes,
    url: &str,
    schema: &str,
    server: Option<&mut Server>,
) -> Result<bool> {
    let pepper = PepperRing::generate()?;
    let address: PgConnectOptions = url.parse()?;
    if address.get_socket().is_some() || address.get_host().starts_with('/') {
        return Err(format!("{DATABASE} must be a URL over TCP: nodes go through proxies").into());
    }
    let place = format!("{}:{}", address.get_host(), address.get_port());
    let admin = Admin::connect(url, schema, &pepper).await?;
    let bound = admin.bound().await?;
    let fleet = Fleet::start(sizes.nodes, url, &place, schema, &pepper).await?;
    let mut world = World::new(admin, fleet);
    println!("{} nodes; {} revokes in parts 1 and 2 each\n", sizes.nodes, sizes.revokes);

    println!("From the acknowledged revoke to a node's first refusal, in milliseconds:");
    println!("{:<12} {:>8} {:>9} {:>9} {:>9} {:>6}", "", "seen", "p50", "p99", "max", "lost");
    let hinted = propagation::measure(&mut world, sizes.revokes).await?;
    report::propagation("with hints", &hinted);
    // Half of them are told that they hear no more, half are not.
    for (number, node) in world.fleet.nodes.iter().enumerate() {
        node.hints.set(if number % 2 == 0 { Line::Closed } else { Line::Silent });
    }
    let polled = propagation::measure(&mut world, sizes.revokes).await?;
    report::propagation("hints cut", &polled);
    world.fleet.set_lines(Line::Open);

    println!("\nFrom the acknowledged revoke to the end of `revoke_and_wait`, by heartbeats:");
    let waited = wait::measure(&mut world, sizes.revokes.div_ceil(10), bound).await?;
    report::propagation("until known", &waited);

    let mut cuts = Vec::new();
    for round in 0..sizes.cuts {
        cuts.extend(cut::measure(&mut world, round, bound).await?);
    }
    report::cut_off(&cuts, bound);

    let revoked = world.revoked.clone();
    let restored = match server {
        None => None,
        Some(server) => {
            let connect =
                async |server: &Server| Admin::connect(&server.url(), schema, &pepper).await;
            Some(restore::measure(&mut world, server, connect, bound).await?)
        }
    };
    if let Some(restored) = &restored {
        report::restored(restored);
        restored.happened()?;
    }
    let resurrections = world.fleet.resurrections(&revoked);
    world.fleet.end().await?;

    let colours =
        [("with hints", "#1d4ed8", 50.0, &hinted), ("hints cut", "#b45309", 1_500.0, &polled)];
    let curves = colours.map(|(name, colour, bar, measured)| Curve { name, colour, bar, measured });
    let title = format!("How long {} nodes still accept a revoked key", sizes.nodes);
    let svg = chart::write(&title, &curves)?;

    let mut report = Report::default();
    report.sizes(sizes.nodes, sizes.revokes);
    report.propagation(&hinted, &polled);
    report.cut_off(&cuts, bound);
    report.restored(restored.as_ref());
    report.waited(&waited);
    report.lost(&[&hinted, &polled, &waited], &cuts, restored.as_ref(), resurrections);
    println!();
    report.bars(bound);
    println!("\n{}\n{}", report.write()?.display(), svg.display());
    Ok(report.is_safe())
}

async fn execute(url: &str, sql: String) -> Result {
    let address: PgConnectOptions = url.parse()?;
    let mut connection = address.connect().await?;
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
    Ok(())
}

fn scheme(pepper: &str) -> Result<KeyScheme> {
    let peppers = PepperRing::from_base64(pepper)?;
    Ok(KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)])?)
}

/// By the clock that all processes of a machine share.
fn now() -> Timestamp {
    SystemTime::now().into()
}

fn number(name: &str, default: usize) -> Result<usize> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("{name} must be a whole number from 1, not `{text}`").into()),
    }
}
