//! The pepper: from the environment, or from a file that only its owner can read.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use keyward::PepperRing;

use crate::Result;
use crate::settings::PepperSource;

/// The pepper, which is made if there is none; `is_empty` says whether the store holds no key.
/// A pepper that is made beside keys could prove none of them.
pub(crate) fn read_or_make(source: &PepperSource, is_empty: bool) -> Result<PepperRing> {
    match source {
        PepperSource::Environment(pepper) => PepperRing::from_base64(pepper)
            .map_err(|error| format!("KEYWARD_PEPPER: {error}").into()),
        PepperSource::File(path) => {
            if !path.try_exists()? {
                if !is_empty {
                    return Err(format!(
                        "the database holds keys, and their pepper is missing: set \
                         KEYWARD_PEPPER, or put the file back at {}",
                        path.display()
                    )
                    .into());
                }
                make(path)?;
            }
            read(path)
        }
    }
}

/// Makes the file, whole or not at all, unless somebody else has made it meanwhile.
fn make(path: &Path) -> Result {
    let draft = Draft(path.with_extension(format!("draft-{}", std::process::id())));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft.0).map_err(|error| {
        format!("the pepper can't be written beside {}: {error}", path.display())
    })?;
    file.write_all(PepperRing::generate()?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    // A link never replaces what is there: of two first starts, one has its way.
    match fs::hard_link(&draft.0, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<PepperRing> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(path).map_err(|error| named(&error))?.permissions(),
        );
        if mode & 0o077 != 0 {
            return Err(named(&"others can read it; run `chmod 600` on it").into());
        }
    }
    let pepper = fs::read_to_string(path).map_err(|error| named(&error))?;
    Ok(PepperRing::from_base64(pepper.trim_end()).map_err(|error| named(&error))?)
}

/// A file that is gone when this is dropped.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
