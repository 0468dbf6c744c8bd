use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{StoreError, StoreErrorKind};
use crate::timestamp::{Clock, Moment, SystemClock};

/// Which file was opened, and whether its path still leads to it.
///
/// A connection goes on with a file that was deleted or replaced: what it commits is lost,
/// and what others revoke it never sees. Where an open file can be neither, on Windows,
/// nothing is asked.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    path: PathBuf,
    file: Option<File>,
    clock: Arc<SystemClock>,
    /// When the path led to it last.
    seen: Cell<Option<Moment>>,
}

/// The device and the number on it.
type File = (u64, u64);

/// How long a look at the path holds.
///
/// A commit takes about as long, and a file can be replaced in the midst of one: whoever
/// replaces it meets calls that are under way, whether each looks or not. A look whose path
/// the processor's caches have forgotten takes microseconds.
const SEEN_FOR: Duration = Duration::from_millis(1);

impl Identity {
    /// Of the file at `path`, which exists.
    pub(super) fn of(path: &Path) -> Self {
        let clock = Arc::new(SystemClock::new());
        Self { path: path.to_owned(), file: file(path), clock, seen: Cell::new(None) }
    }

    /// Refuses to go on with a file that another has taken the place of.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let now = self.clock.moment();
        let ago = self.seen.get().and_then(|seen| now.since(seen));
        if ago.is_some_and(|ago| ago < SEEN_FOR) {
            return Ok(());
        }
        if self.file == file(&self.path) {
            self.seen.set(Some(now));
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
