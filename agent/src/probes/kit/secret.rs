//! A password from a file that nobody else can read.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::geteuid;
use zeroize::Zeroizing;

/// The longest file of a password.
const LENGTH_MAX: u64 = 4 * 1024;

/// Reads the first line of a file, which only root and the agent's own user may be able to read.
///
/// It is read at each look, so that a changed password needs no restart.
///
/// # Errors
/// Why it cannot be used, for a person; never what is in it.
pub(crate) fn first_line(path: &Path) -> Result<Zeroizing<String>, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("the password in {} cannot be used: {why}", path.display());
    let meta = std::fs::metadata(path).map_err(|error| cannot(&error))?;
    if !meta.is_file() || meta.len() > LENGTH_MAX {
        return Err(cannot(&"it is not a file of a single line"));
    }
    if meta.permissions().mode() & 0o077 != 0 || (meta.uid() != 0 && meta.uid() != geteuid().as_raw()) {
        return Err(cannot(&"others can read it; chmod 600, owned by root or the agent's user"));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| cannot(&error))?);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
