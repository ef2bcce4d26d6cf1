//! The folder that holds everything the embedded form keeps: one SQLite file per shard, the catalog,
//! and the secret that signs tokens. One process at a time has it.

use anyhow::{Context, bail};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The folder, while this process has it.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Locked until dropped.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is missing.
    ///
    /// # Errors
    /// If it cannot be made or written, or another process has it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<DataFolder> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("{shown} cannot be made"))?;
        let lock =
            OpenOptions::new().create(true).write(true).truncate(false).open(path.join("lock"));
        let lock = lock.with_context(|| format!("{shown} cannot be written"))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataFolder { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("another process uses {shown}"),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{shown} cannot be locked"))
            }
        }
    }

    pub(crate) fn catalog(&self) -> PathBuf {
        self.path.join("catalog.sqlite")
    }

    pub(crate) fn shard(&self, shard: u32) -> PathBuf {
        self.path.join(format!("shard-{shard}.sqlite"))
    }

    /// Made once, from the given random bytes; readable by the owner only.
    pub(crate) fn secret(&self, random: [u8; 32]) -> anyhow::Result<String> {
        let path = self.path.join("secret");
        if !path.exists() {
            let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            // Under another name first: a crash in between must not leave half a secret.
            let new = self.path.join("secret.new");
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).write(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
        }
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_process_at_a_time_has_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("data");
        let first = DataFolder::open(&path).expect("a new folder");
        assert!(DataFolder::open(&path).is_err());
        drop(first);
        assert!(DataFolder::open(&path).is_ok());
    }

    #[test]
    fn the_secret_is_made_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataFolder::open(folder.path()).expect("a folder");
        let secret = data.secret([7; 32]).expect("made");
        assert_eq!(data.secret([8; 32]).expect("kept"), secret);
        assert_eq!(secret.len(), 64);
    }
}
