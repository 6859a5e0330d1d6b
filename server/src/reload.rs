//! SIGHUP: the policy file is read again and put in force when it is valid.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use crate::files;
use crate::policy;
use crate::rpc::admin::Admin;

/// Who the audit log names for it.
const ACTOR: &str = "server/sighup";

/// Waits for SIGHUP, for ever. A file that is not valid changes nothing, and the log says why.
pub(crate) async fn on_hangup(admin: Admin, file: PathBuf) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::error!(target: "prunella::server", "no handler for SIGHUP; change the policy with prunella policy set");
        return std::future::pending().await;
    };
    while hangup.recv().await.is_some() {
        match reload(&admin, &file).await {
            Ok(Some(version)) => {
                tracing::info!(target: "prunella::server", file = %file.display(), version, "the policy was read again and is in force");
            }
            Ok(None) => {
                tracing::info!(target: "prunella::server", file = %file.display(), "the policy was read again; it is in force already");
            }
            Err(why) => {
                tracing::error!(target: "prunella::server", file = %file.display(), %why, "the policy in force is kept");
            }
        }
    }
}

/// The version that is in force now; null when nothing changed.
async fn reload(admin: &Admin, file: &std::path::Path) -> Result<Option<u64>, String> {
    let text = files::read_text(file).map_err(|error| error.to_string())?;
    let wanted = policy::parse(&file.display().to_string(), &text).map_err(|error| error.to_string())?;
    let changed = admin.replace(ACTOR.to_owned(), wanted).await.map_err(|status| status.message().to_owned())?;
    Ok(changed.map(|policy| policy.version))
}
