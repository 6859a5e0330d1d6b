//! Files against a recorded baseline.

use std::path::PathBuf;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use prunella_model::observation::ProbeKind;

use super::{Row, Stands, Subject};
use crate::config::check::Checked;
use crate::config::keys::{Key, Keys};

/// See the module.
#[derive(Debug, Clone)]
pub struct DriftSubject {
    /// Files, and directories with all that lies below them.
    pub paths: Vec<PathBuf>,
    /// Files that do not count.
    pub exclude: GlobSet,
    /// A baseline that somebody else keeps; none means the agent's own.
    pub baseline: Option<PathBuf>,
}

pub(super) static ROW: Row = Row {
    kind: ProbeKind::Drift,
    about: "Many files against a baseline: changed, added and missing ones (rule `drift`). The agent records the baseline at its first \
            look, as `sha256sum` writes it, in `baselines/` of its state directory; remove that file to have it recorded anew after a \
            change that was meant. Or keep one yourself and name it. Nothing is put back: that is what `[[target.file]]` is for.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(300),
    timeout: Duration::from_secs(60),
    keys: &[
        Key::needed(
            "paths",
            "[\"/etc/nginx\", \"/etc/ssh/sshd_config\"]",
            "files, and directories with all that lies below",
        ),
        Key::maybe("exclude", "none", "whole paths that do not count, as globs: `[\"/etc/nginx/**/*.bak\"]`"),
        Key::maybe("baseline", "the agent's own", "a file as `sha256sum` writes it, with absolute paths"),
    ],
    series: &[("NAME.differences", "files that differ")],
    example: "kind = \"drift\"\npaths = [\"/etc/nginx\", \"/etc/ssh/sshd_config\"]\nexclude = [\"**/*.bak\"]",
    check,
};

fn check(keys: &Keys<'_>) -> Checked<Subject> {
    let paths = keys.words("paths")?.map(prunella_settings::Spanned::into_inner).unwrap_or_default();
    if paths.is_empty() {
        return Err(keys.misfit("paths", "paths names nothing"));
    }
    let mut globs = GlobSetBuilder::new();
    for glob in keys.words("exclude")?.map(prunella_settings::Spanned::into_inner).unwrap_or_default() {
        let built = GlobBuilder::new(&glob).literal_separator(true).build();
        globs.add(built.map_err(|error| keys.misfit("exclude", error))?);
    }
    let exclude = globs.build().map_err(|error| keys.misfit("exclude", error))?;
    let paths = paths.iter().map(|it| keys.checker.path(it)).collect();
    Ok(Subject::Drift(DriftSubject { paths, exclude, baseline: keys.maybe_path("baseline")? }))
}
