use std::path::{Path, PathBuf};

use crate::error::{StoreError, StoreErrorKind};

/// Which file was opened, and whether its path still leads to it.
///
/// A connection goes on with a file that was deleted or replaced: what it commits is lost,
/// and what others revoke it never sees. Where an open file can be neither, on Windows,
/// nothing is asked.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    path: PathBuf,
    file: Option<File>,
}

/// The device and the number on it.
type File = (u64, u64);

impl Identity {
    /// Of the file at `path`, which exists.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), file: file(path) }
    }

    /// Refuses to go on with a file that another has taken the place of.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.file == file(&self.path) {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::Other).with_context(
            "the file was deleted, or another has taken its place, while it was open; start the \
             process again",
        ))
    }
}

#[cfg(unix)]
fn file(path: &Path) -> Option<File> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn file(_: &Path) -> Option<File> {
    None
}
