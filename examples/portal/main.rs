//! A service with an API Keys page: `cargo run --example portal`.
//!
//! It serves one guarded route, the admin API, its OpenAPI document and the page, on keys in an
//! `SQLite` file or in `PostgreSQL`. The environment says how:
//!
//! | variable | default | |
//! |---|---|---|
//! | `KEYWARD_LISTEN` | `127.0.0.1:8080` | where to listen |
//! | `KEYWARD_DATABASE` | `keyward.db` | a path, or a `postgres://` URL |
//! | `KEYWARD_PEPPER` | the file `….pepper` beside the database | the pepper itself |
//!
//! The first start makes the pepper and prints an administrator's key, once. With the argument
//! `replace-administrator`, it prints another and revokes those before.

mod administrator;
mod keys;
mod pepper;
mod routes;
mod settings;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use keyward::IssuedKey;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::settings::Settings;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// How long open connections may take to end after Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    ExitCode::from(run(&arguments).await)
}

async fn run(arguments: &[&str]) -> u8 {
    let done = match arguments {
        [] => serve().await,
        ["replace-administrator"] => replace_administrator().await,
        _ => Err("usage: portal [replace-administrator]".into()),
    };
    if let Err(error) = &done {
        eprintln!("portal: {error}");
    }
    u8::from(done.is_err())
}

async fn serve() -> Result {
    let settings = Settings::from_environment()?;
    let stop_signal = stop_signal()?;
    // The address comes first: a start that fails over it must not have printed the only copy
    // of a key.
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| format!("KEYWARD_LISTEN: {}: {error}", settings.listen))?;
    let opened = keys::open(&settings).await?;
    let address = listener.local_addr()?;
    print_addresses(address);
    if opened.is_empty
        && let Some(issued) = administrator::first(&opened.keys).await?
    {
        print_first(issued);
    }
    println!("Ctrl-C ends it.");
    let upkeep = opened.upkeep.start(&Handle::current());
    let routes = routes::router(opened.keys)?.into_make_service_with_connect_info::<SocketAddr>();
    let (stop, mut stopped) = tokio::sync::watch::channel(());
    let server = axum::serve(listener, routes).with_graceful_shutdown(async move {
        stop_signal.await;
        drop(stop);
    });
    tokio::select! {
        ended = async { server.await } => ended?,
        () = async {
            let _ = stopped.changed().await;
            tokio::time::sleep(PATIENCE).await;
        } => {}
    }
    upkeep.shutdown().await?;
    Ok(())
}

async fn replace_administrator() -> Result {
    let opened = keys::open(&Settings::from_environment()?).await?;
    let issued = administrator::replace(&opened.keys).await?;
    let expires = issued.view().expires_at;
    println!("{}", issued.into_key().expose_secret());
    if let Some(at) = expires {
        eprintln!(
            "Shown once; it expires at {at}. The administrators' keys before it are revoked."
        );
    }
    Ok(())
}

fn print_addresses(address: SocketAddr) {
    println!("The page          http://{address}/console");
    println!("The admin API     http://{address}/admin/api-keys");
    println!("Its description   http://{address}/admin/openapi.json");
    println!("A guarded route   http://{address}/inventory-service/sites (needs read:assets)");
}

fn print_first(issued: IssuedKey) {
    println!("\nThe administrator's key, shown only now, for the next 24 hours:\n");
    println!("    {}\n", issued.into_key().expose_secret());
    println!("Replace it by one that lasts, from the same folder and environment:\n");
    println!("    cargo run --example portal -- replace-administrator\n");
}

/// Ends with Ctrl-C or, on Unix, with the signal that service managers send. It listens from
/// this call on.
#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(windows)]
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move { drop(interrupt.recv().await) })
}
