//! Memory that the kernel can give back by itself, if it is told to.

use std::fs;
use std::path::Path;

use super::{Mode, blocking, told};
use crate::config::part::Memory;

/// Clean pages, entries and inodes.
const CLEAN: &str = "3";

pub(super) async fn free(memory: &Memory, mode: Mode) -> Result<String, String> {
    let memory = memory.clone();
    blocking(move || match &memory {
        Memory::Host => host(mode),
        Memory::Group { path, bytes } => group(path, *bytes, mode),
    })
    .await
}

fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|it| it.strip_prefix("MemAvailable:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? << 10)
}

fn host(mode: Mode) -> Result<String, String> {
    let before = available();
    let known = |it: Option<u64>| it.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
    if let Some(told) = told(mode, || format!("drop the host's clean caches; {} bytes are available", known(before))) {
        return Ok(told);
    }
    // What is dirty cannot be dropped.
    rustix::fs::sync();
    write(Path::new("/proc/sys/vm/drop_caches"), CLEAN)?;
    Ok(format!("clean caches dropped: {} bytes available before, {} now", known(before), known(available())))
}

/// A control group of either version.
fn group(path: &Path, bytes: u64, mode: Mode) -> Result<String, String> {
    let v2 = path.join("memory.reclaim");
    let (knob, word, usage) = if v2.exists() {
        (v2, bytes.to_string(), path.join("memory.current"))
    } else {
        (path.join("memory.force_empty"), "0".to_owned(), path.join("memory.usage_in_bytes"))
    };
    if !knob.exists() {
        return Err(format!("{} is no control group with memory that can be taken back", path.display()));
    }
    let used = || fs::read_to_string(&usage).map_or_else(|_| "unknown".to_owned(), |it| it.trim().to_owned());
    let before = used();
    if let Some(told) = told(mode, || format!("write {word} to {}; {before} bytes are in use", knob.display())) {
        return Ok(told);
    }
    match write(&knob, &word) {
        Ok(()) => {}
        // It says so when it got less than was asked for, which is no failure.
        Err(_) if used() != before => {}
        Err(why) => return Err(why),
    }
    Ok(format!("{}: {before} bytes in use before, {} now", path.display(), used()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
