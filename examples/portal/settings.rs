//! What the environment says, and the defaults.

use std::env::{self, VarError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::Result;

/// Where keys are kept.
pub(crate) enum Database {
    Postgres(String),
    Sqlite(PathBuf),
}

/// Where the pepper comes from.
pub(crate) enum PepperSource {
    Environment(String),
    File(PathBuf),
}

pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) database: Database,
    pub(crate) pepper: PepperSource,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self> {
        let listen = variable("KEYWARD_LISTEN")?.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let listen = listen.parse().map_err(|_| {
            format!("KEYWARD_LISTEN: `{listen}` must be an address and a port, as 127.0.0.1:8080")
        })?;
        let database = Database::of(variable("KEYWARD_DATABASE")?)?;
        let pepper = match variable("KEYWARD_PEPPER")? {
            Some(pepper) => PepperSource::Environment(pepper),
            None => PepperSource::File(database.pepper_file()),
        };
        Ok(Self { listen, database, pepper })
    }
}

impl Database {
    fn of(given: Option<String>) -> Result<Self> {
        match given {
            None => Ok(Self::Sqlite("keyward.db".into())),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(url))
            }
            // Without the text: a URL may hold a password.
            Some(url) if url.contains("://") => {
                Err("KEYWARD_DATABASE: must be a path or a `postgres://` URL".into())
            }
            Some(path) => Ok(Self::Sqlite(path.into())),
        }
    }

    /// Beside the file of the database, or else in the current folder.
    fn pepper_file(&self) -> PathBuf {
        match self {
            Self::Postgres(_) => "keyward.pepper".into(),
            Self::Sqlite(path) => suffixed(path, ".pepper"),
        }
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A variable that is set to nothing is not set.
fn variable(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{name}: must be UTF-8").into()),
    }
}
