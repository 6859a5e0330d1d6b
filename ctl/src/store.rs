//! `prunella store`: what to do with a server's store while the server is down.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use prunella_server::store::{SledStore, export, sled};
use serde::Serialize;
use serde_json::json;

use crate::{Common, EXIT_OK, output};

const EXAMPLES: &str = "\
Examples:
  prunella store check --dir fleet                                          look at every value of the store
  prunella store exports --dir fleet                                        list the exports that there are
  prunella store import --dir fleet fleet/state/export/store-0000042.jsonl  go on from an export

The server must not be running.";

const CHECK: &str = "\
Examples:
  prunella store check --dir fleet";

const EXPORTS: &str = "\
Examples:
  prunella store exports --dir fleet";

const IMPORT: &str = "\
Examples:
  prunella store import --dir fleet fleet/state/export/store-0000042.jsonl

The store that is there is moved aside, not removed. What happened after the export is lost; what agents remember of it
is not, and they tell the server.";

/// Checks a store, and puts an export in its place.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StoreArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Look at every value of the store.
    #[command(after_help = CHECK)]
    Check,
    /// List the exports, oldest first, and whether each is intact.
    #[command(after_help = EXPORTS)]
    Exports,
    /// Make a new store from an export.
    #[command(after_help = IMPORT)]
    Import {
        /// The export.
        file: PathBuf,
    },
}

/// One export, as it was found.
#[derive(Debug, Serialize)]
struct Export {
    file: PathBuf,
    entries: Option<usize>,
    damaged: Option<String>,
}

impl Export {
    fn look(file: PathBuf) -> Self {
        match export::read(&file) {
            Ok(read) => Self { file, entries: Some(read.entries.len()), damaged: None },
            Err(why) => Self { file, entries: None, damaged: Some(why.to_string()) },
        }
    }
}

impl StoreArgs {
    /// Does it.
    ///
    /// # Errors
    /// What is wrong with the store, the export or the directory.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let dir = common.dir.as_ref().context("say which fleet: --dir DIR")?;
        let state = dir.join("state");
        let format = common.format(false);
        match self.verb {
            Verb::Check => {
                anyhow::ensure!(state.join("store.mark").exists(), "there is no store in {}", state.display());
                drop(SledStore::open(&state)?);
                match format {
                    Some(format) => drop(format.print(&json!({"ok": true}))?),
                    None => println!("every value is as it was written"),
                }
            }
            Verb::Exports => {
                let exports: Vec<Export> = export::list(&state.join("export"))?.into_iter().map(Export::look).collect();
                if let Some(format) = format {
                    output::print(&format.document(&exports)?)?;
                } else if exports.is_empty() {
                    println!("there is no export in {} yet; a server makes one now and then", state.display());
                }
                for it in exports.iter().filter(|_| format.is_none()) {
                    let state = match (it.entries, &it.damaged) {
                        (Some(entries), _) => format!("{entries} entries"),
                        (None, why) => format!("DAMAGED: {}", why.as_deref().unwrap_or("nobody knows why")),
                    };
                    println!("{}  {state}", it.file.display());
                }
            }
            Verb::Import { file } => {
                let imported = sled::import(&state, &file)?;
                if let Some(format) = format {
                    format.print(&json!({"entries": imported.entries, "replaced": imported.replaced}))?;
                } else {
                    println!("the store holds {} entries from revision {}", imported.entries, imported.from.0);
                    if let Some(aside) = imported.replaced {
                        println!("what was there before is in {}", aside.display());
                    }
                }
            }
        }
        Ok(ExitCode::from(EXIT_OK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_export_is_listed_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("store-0000001.jsonl");
        std::fs::write(&file, "nothing of the kind").unwrap();
        let listed = serde_json::to_value([Export::look(file.clone())]).unwrap();
        assert_eq!(listed[0]["file"], file.display().to_string());
        assert!(listed[0]["entries"].is_null() && listed[0]["damaged"].is_string(), "{listed}");
    }
}
