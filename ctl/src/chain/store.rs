//! The data of `db`: a map in memory and a log of its changes on disk.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// The most keys. The demonstration writes one; the bound keeps a stray client from filling the memory.
const KEYS_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct KeyValues {
    log: Option<File>,
    values: BTreeMap<String, String>,
}

impl KeyValues {
    /// Opens the log in `data` and reads it; without a directory everything is in memory alone.
    pub(super) fn open(data: Option<&Path>) -> io::Result<Self> {
        let mut values = BTreeMap::new();
        let Some(data) = data else { return Ok(Self { log: None, values }) };
        std::fs::create_dir_all(data)?;
        let path = data.join("values.log");
        let log = OpenOptions::new().create(true).append(true).open(&path)?;
        for line in std::fs::read_to_string(&path)?.lines() {
            if let Some((key, value)) = line.split_once('=') {
                values.insert(key.to_owned(), value.to_owned());
            }
        }
        Ok(Self { log: Some(log), values })
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub(super) fn put(&mut self, key: &str, value: &str) -> io::Result<()> {
        if key.contains(['=', '\n']) || value.contains('\n') || self.values.len() >= KEYS_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        if let Some(log) = &mut self.log {
            writeln!(log, "{key}={value}")?;
        }
        self.values.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        KeyValues::open(Some(dir.path())).unwrap().put("a", "1").unwrap();
        let mut again = KeyValues::open(Some(dir.path())).unwrap();
        assert_eq!(again.get("a"), Some("1"));
        assert!(again.put("a=b", "1").is_err());
    }
}
