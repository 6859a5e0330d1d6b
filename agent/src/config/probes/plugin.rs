//! A check program that keeps the Nagios plugin convention.

use std::path::PathBuf;
use std::time::Duration;

use prunella_model::observation::ProbeKind;

use super::super::check::Checked;
use super::super::keys::{Key, Keys};
use super::{Row, Stands, Subject};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSubject {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// Its arguments; no shell reads them.
    pub args: Vec<String>,
    /// The user that it runs as; none means the agent's own.
    pub user: Option<String>,
    /// What a warning (exit 1) means.
    pub warning: Verdict,
    /// What an unknown (exit 3) means.
    pub unknown: Verdict,
    /// Whether it asks the target for its service.
    pub service: bool,
}

/// What a plugin's exit code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Up, with a warning.
    Degraded,
    /// Down.
    Down,
    /// It tells nothing.
    Unknown,
}

const KEYS: &[Key] = &[
    Key::needed(
        "program",
        "/usr/lib/nagios/plugins/check_load",
        "the program, by its absolute path; nobody but root and the agent's own user may be able to write it",
    ),
    Key::maybe("args", "none", "its arguments; no shell reads them"),
    Key::maybe("user", "the agent's own", "the user that it runs as; needs an agent that runs as root"),
    Key::of("warning", "degraded", "what exit 1 means: `degraded` (up, with a warning), `down` or `unknown`"),
    Key::of("unknown", "unknown", "what exit 3 means: `unknown`, `degraded` or `down`"),
];

const SERIES: &[(&str, &str)] = &[(
    "NAME.LABEL",
    "each measurement of its performance data, with `_seconds`, `_bytes`, `_percent` or `_count` for its unit; at most 32",
)];

/// A program that looks at a part of the target.
pub(super) static PLUGIN: Row = Row {
    kind: ProbeKind::Plugin,
    about: "Any check program that keeps the Nagios plugin convention: exit 0 (OK), 1 (warning), 2 (critical), 3 (unknown), a \
            line of text, and performance data after a `|`. It runs without a shell, with an environment of its own, in a \
            process group of its own that is killed as a whole at the end of its time. A program that is missing, hangs, ends \
            by a signal or with another code, or says nothing, is a broken probe: that is never a fault of the target. \
            Rules `check_failed` and `check_warning` speak for it; nothing is restarted, unless a rule of your own says so.",
    stands: Stands::Anywhere,
    interval: Duration::from_secs(60),
    timeout: Duration::from_secs(10),
    keys: KEYS,
    series: SERIES,
    example: "name = \"load\"\nkind = \"plugin\"\nprogram = \"/usr/lib/nagios/plugins/check_load\"\n\
              args = [\"-w\", \"8,6,4\", \"-c\", \"16,12,8\"]\nuser = \"nobody\"",
    check: part,
};

/// A program that asks for the service.
pub(super) static SERVICE: Row = Row {
    kind: ProbeKind::ServicePlugin,
    about: "The same for a program that asks the target for its service, as a user would (`check_http`, `check_pgsql`, …). When \
            it fails while the process lives, the target is `unresponsive`: its dependencies are looked at first, and then it \
            may be restarted.",
    stands: Stands::Target,
    interval: Duration::from_secs(10),
    timeout: Duration::from_secs(10),
    keys: KEYS,
    series: SERIES,
    example: "name = \"smtp\"\nkind = \"service_plugin\"\nprogram = \"/usr/lib/nagios/plugins/check_smtp\"\n\
              args = [\"-H\", \"127.0.0.1\"]\nwarning = \"down\"",
    check: service,
};

fn part(keys: &Keys<'_>) -> Checked<Subject> {
    check(keys, false)
}

fn service(keys: &Keys<'_>) -> Checked<Subject> {
    check(keys, true)
}

fn check(keys: &Keys<'_>, service: bool) -> Checked<Subject> {
    let verdicts = [("degraded", Verdict::Degraded), ("down", Verdict::Down), ("unknown", Verdict::Unknown)];
    let program = keys.word("program")?;
    if !program.get_ref().starts_with('/') {
        let what = "write the program's absolute path: what a bare name means could be changed by others";
        return Err(keys.wrong(program.span(), what));
    }
    let args = keys.words("args")?;
    if let Some(args) = args.as_ref().filter(|it| it.get_ref().iter().any(|word| word.contains('\0'))) {
        return Err(keys.wrong(args.span(), "a word must not hold a zero byte"));
    }
    Ok(Subject::Plugin(PluginSubject {
        program: PathBuf::from(program.into_inner()),
        args: args.map(prunella_settings::Spanned::into_inner).unwrap_or_default(),
        user: keys.text("user")?.map(prunella_settings::Spanned::into_inner),
        warning: keys.choice("warning", &verdicts)?,
        unknown: keys.choice("unknown", &verdicts)?,
        service,
    }))
}
