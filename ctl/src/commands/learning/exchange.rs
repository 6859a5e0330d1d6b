//! `prunella learning export` and `import`.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{ExportArgs, ImportArgs};
use crate::client::{Client, Failure};
use crate::commands::show;
use crate::{Common, output};

/// The longest document that a server takes, in bytes.
const DOCUMENT_MAX: u64 = 32 * 1024 * 1024;

#[derive(Debug, Serialize)]
pub(super) struct Imported {
    new_records: u32,
    restored_records: u32,
    known_records: u32,
}

pub(super) async fn export(common: &Common, args: &ExportArgs) -> Result<(), Failure> {
    let client = Client::connect(common, &args.connection).await?;
    let found = client.learning().export_knowledge(pb::ExportKnowledgeRequest {}).await?.into_inner();
    let text = found.json + "\n";
    let Some(path) = &args.to else {
        output::print(&text)?;
        return Ok(());
    };
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!(
        "{} as export {} are in {}",
        output::count(found.records.into(), "record", "records"),
        found.id,
        path.display()
    );
    Ok(())
}

pub(super) async fn import(common: &Common, args: &ImportArgs) -> Result<(), Failure> {
    let json = read(&args.file)?;
    let client = Client::connect(common, &args.connection).await?;
    let request = pb::ImportKnowledgeRequest { json, validate_only: args.dry_run };
    let it = client.learning().import_knowledge(request).await?.into_inner();
    let view = Imported {
        new_records: it.new_records,
        restored_records: it.restored_records,
        known_records: it.known_records,
    };
    show(common, &view, |_| if args.dry_run { "It can be taken in.\n".to_owned() } else { sentence(&view) })?;
    Ok(())
}

fn sentence(it: &Imported) -> String {
    format!(
        "{} new, {} of this fleet restored, {} known before.\n",
        output::count(it.new_records.into(), "record is", "records are"),
        it.restored_records,
        it.known_records
    )
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let limit = DOCUMENT_MAX + 1;
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if text.len() as u64 > DOCUMENT_MAX {
        return Err(Failure::Usage(format!("{} has more than {DOCUMENT_MAX} bytes", path.display())));
    }
    Ok(text)
}
