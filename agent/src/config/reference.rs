//! Every key of `agent.toml`, for its reference and for what the environment may override.
//!
//! The keys of a probe depend on its kind: docs/probes.md lists them, from the table that they are read by.

use prunella_settings::reference::{Key, Kind};

/// What the variables begin with that override keys of `agent.toml`.
pub const PREFIX: &str = "PRUNELLA_AGENT__";

/// The keys of declared parts, which a target and the host itself may have.
macro_rules! parts {
    ($at:literal) => {
        &[
            Key::needed(concat!($at, ".part.reload.#.name"), Kind::Text, "its name"),
            Key::maybe(concat!($at, ".part.reload.#.run"), Kind::Any, "the signal", "program and words: `[\"nginx\", \"-s\", \"reload\"]`, or a table with `run`, `user`, `working_dir`, `env`"),
            Key::maybe(concat!($at, ".part.reload.#.signal"), Kind::Text, "`run`", "a signal to the main process"),
            Key::maybe(concat!($at, ".part.reload.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.connections.#.name"), Kind::Text, "its name"),
            Key::maybe(concat!($at, ".part.connections.#.run"), Kind::Any, "the signal", "program and words"),
            Key::maybe(concat!($at, ".part.connections.#.signal"), Kind::Text, "`run`", "a signal to the main process"),
            Key::maybe(concat!($at, ".part.connections.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.program.#.name"), Kind::Text, "its name"),
            Key::needed(concat!($at, ".part.program.#.run"), Kind::Any, "program and words"),
            Key::maybe(concat!($at, ".part.program.#.risk"), Kind::Text, "high", "how dangerous it is"),
            Key::maybe(concat!($at, ".part.program.#.undo"), Kind::Text, "nothing undoes it", "the program of the target that undoes it"),
            Key::maybe(concat!($at, ".part.program.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.cache.#.name"), Kind::Text, "its name"),
            Key::maybe(concat!($at, ".part.cache.#.path"), Kind::Text, "`redis`", "its directory"),
            Key::maybe(concat!($at, ".part.cache.#.redis"), Kind::Text, "`path`", "`redis://HOST:PORT/N`"),
            Key::maybe(concat!($at, ".part.cache.#.password_file"), Kind::Text, "no password", "the file of its password"),
            Key::maybe(concat!($at, ".part.cache.#.bound"), Kind::Size, "it has no bound", "how large it may be"),
            Key::maybe(concat!($at, ".part.cache.#.rebuild"), Kind::Any, "it is not rebuilt", "program and words"),
            Key::maybe(concat!($at, ".part.cache.#.warm"), Kind::Texts, "it is not warmed", "addresses to ask for"),
            Key::maybe(concat!($at, ".part.cache.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.stray.#.name"), Kind::Text, "its name"),
            Key::maybe(concat!($at, ".part.stray.#.port"), Kind::Number, "`executable`", "the port that it holds"),
            Key::maybe(concat!($at, ".part.stray.#.executable"), Kind::Text, "`port`", "its program"),
            Key::maybe(concat!($at, ".part.stray.#.user"), Kind::Text, "any", "whose it is"),
            Key::maybe(concat!($at, ".part.stray.#.older_than"), Kind::Span, "any age", "how old it must be"),
            Key::maybe(concat!($at, ".part.stray.#.most"), Kind::Number, "1", "more matches than this end nothing"),
            Key::maybe(concat!($at, ".part.stray.#.grace"), Kind::Span, "2s", "between asking and killing"),
            Key::needed(concat!($at, ".part.memory.#.name"), Kind::Text, "its name"),
            Key::maybe(concat!($at, ".part.memory.#.group"), Kind::Text, "the host's clean caches", "a control group"),
            Key::maybe(concat!($at, ".part.memory.#.bytes"), Kind::Size, "256MiB", "how much is reclaimed"),
            Key::maybe(concat!($at, ".part.memory.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.store.#.name"), Kind::Text, "its name"),
            Key::maybe(concat!($at, ".part.store.#.nix"), Kind::Switch, "false", "whether it is the Nix store"),
            Key::maybe(concat!($at, ".part.store.#.collect"), Kind::Any, "`nix`", "program and words"),
            Key::maybe(concat!($at, ".part.store.#.optimize"), Kind::Any, "`nix`", "program and words"),
            Key::maybe(concat!($at, ".part.store.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.releases.#.name"), Kind::Text, "its name"),
            Key::maybe(concat!($at, ".part.releases.#.link"), Kind::Text, "`nix_profile`", "the link to the current one"),
            Key::maybe(concat!($at, ".part.releases.#.dir"), Kind::Text, "`nix_profile`", "where they are"),
            Key::maybe(concat!($at, ".part.releases.#.nix_profile"), Kind::Text, "`link` and `dir`", "a Nix profile"),
            Key::maybe(concat!($at, ".part.releases.#.keep"), Kind::Number, "5", "how many are kept"),
            Key::maybe(concat!($at, ".part.releases.#.known_good_after"), Kind::Span, "60s", "how long all must be well with one"),
            Key::maybe(concat!($at, ".part.releases.#.activate"), Kind::Any, "nothing is run", "program and words after a change"),
            Key::maybe(concat!($at, ".part.releases.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.weight.#.name"), Kind::Text, "its name"),
            Key::needed(concat!($at, ".part.weight.#.knob"), Kind::Text, "`nice`, `io`, or a file below `/sys/fs/cgroup`"),
            Key::needed(concat!($at, ".part.weight.#.least"), Kind::Number, "the least value"),
            Key::needed(concat!($at, ".part.weight.#.most"), Kind::Number, "the greatest value"),
            Key::maybe(concat!($at, ".part.weight.#.goal"), Kind::Number, "`least`, `most` decide", "what is better under load"),
            Key::needed(concat!($at, ".part.sysctl.#.name"), Kind::Text, "its name"),
            Key::needed(concat!($at, ".part.sysctl.#.key"), Kind::Text, "the kernel parameter"),
            Key::needed(concat!($at, ".part.sysctl.#.least"), Kind::Number, "the least value"),
            Key::needed(concat!($at, ".part.sysctl.#.most"), Kind::Number, "the greatest value"),
            Key::maybe(concat!($at, ".part.sysctl.#.goal"), Kind::Number, "`least`, `most` decide", "what is better under load"),
            Key::needed(concat!($at, ".part.balancer.#.name"), Kind::Text, "its name"),
            Key::needed(concat!($at, ".part.balancer.#.socket"), Kind::Text, "HAProxy's socket"),
            Key::needed(concat!($at, ".part.balancer.#.server"), Kind::Text, "`BACKEND/SERVER`"),
            Key::maybe(concat!($at, ".part.balancer.#.least"), Kind::Number, "0", "the least weight"),
            Key::maybe(concat!($at, ".part.balancer.#.most"), Kind::Number, "256", "the greatest weight"),
            Key::maybe(concat!($at, ".part.balancer.#.goal"), Kind::Number, "`least`, `most` decide", "what is better under load"),
            Key::needed(concat!($at, ".part.instances.#.name"), Kind::Text, "its name"),
            Key::needed(concat!($at, ".part.instances.#.template"), Kind::Text, "`worker@`"),
            Key::maybe(concat!($at, ".part.instances.#.systemctl"), Kind::Text, "systemctl", "the program"),
            Key::needed(concat!($at, ".part.instances.#.least"), Kind::Number, "the fewest"),
            Key::needed(concat!($at, ".part.instances.#.most"), Kind::Number, "the most"),
            Key::maybe(concat!($at, ".part.instances.#.goal"), Kind::Number, "`least`, `most` decide", "what is better under load"),
            Key::maybe(concat!($at, ".part.instances.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.certificate.#.name"), Kind::Text, "its name"),
            Key::needed(concat!($at, ".part.certificate.#.path"), Kind::Text, "the certificate"),
            Key::needed(concat!($at, ".part.certificate.#.renew"), Kind::Any, "program and words that renew it"),
            Key::maybe(concat!($at, ".part.certificate.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.standby.#.name"), Kind::Text, "its name"),
            Key::needed(concat!($at, ".part.standby.#.data_dir"), Kind::Text, "PostgreSQL's directory"),
            Key::needed(concat!($at, ".part.standby.#.promote"), Kind::Any, "program and words that promote it"),
            Key::maybe(concat!($at, ".part.standby.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.backup.#.name"), Kind::Text, "its name"),
            Key::needed(concat!($at, ".part.backup.#.paths"), Kind::Texts, "what is saved"),
            Key::needed(concat!($at, ".part.backup.#.to"), Kind::Text, "the directory of the archives"),
            Key::maybe(concat!($at, ".part.backup.#.keep"), Kind::Number, "10", "how many are kept"),
            Key::maybe(concat!($at, ".part.backup.#.most"), Kind::Size, "10GiB", "how large one may be"),
            Key::maybe(concat!($at, ".part.backup.#.timeout"), Kind::Span, "1m", "how long it may take"),
            Key::needed(concat!($at, ".part.machine.#.name"), Kind::Text, "its name"),
            Key::maybe(concat!($at, ".part.machine.#.systemctl"), Kind::Text, "systemctl", "the program"),
            Key::maybe(concat!($at, ".part.machine.#.nft"), Kind::Text, "nft", "the program"),
            Key::maybe(concat!($at, ".part.machine.#.allow"), Kind::Numbers, "none", "ports that stay open in a lockdown"),
            Key::maybe(concat!($at, ".part.machine.#.timeout"), Kind::Span, "1m", "how long it may take"),
        ]
    };
}

const TARGET_PARTS: &[Key] = parts!("target.#");
const HOST_PARTS: &[Key] = parts!("host");

const HOST: &[Key] = &[
    Key::maybe("agent.host", Kind::Text, "the kernel's name", "the host's name in the fleet"),
    Key::maybe(
        "agent.helper",
        Kind::Text,
        "one process is the whole agent",
        "the socket of the half with the privilege: see privilege.md",
    ),
    Key::of("agent.state_dir", Kind::Text, "state", "key, certificate, ledger, snapshots"),
    Key::maybe("agent.snapshot_every", Kind::Span, "never", "how often a snapshot of each declared file is taken"),
    Key::maybe("agent.control", Kind::Texts, "from the join token", "the server's control addresses"),
    Key::maybe("agent.agents", Kind::Texts, "from the server on joining", "the server's addresses for agents"),
    Key::maybe("agent.labels.*", Kind::Text, "no labels", "free labels, for example the rack"),
    Key::of(
        "limits.repairs_per_hour",
        Kind::Number,
        "10",
        "repairs of this host in any hour, whatever the policy says",
    ),
    Key::of("limits.observe_only", Kind::Switch, "false", "look and report, do nothing"),
    Key::maybe(
        "limits.pause_file",
        Kind::Text,
        "`paused` in `state_dir`",
        "while this file exists nothing is done; its text is the reason",
    ),
    Key::maybe(
        "limits.intervals.least",
        Kind::Span,
        "the policy may not say",
        "with `most`: within these bounds the policy may say how often probes look",
    ),
    Key::maybe("limits.intervals.most", Kind::Span, "the policy may not say", "the longest such interval"),
    Key::of("host.interval", Kind::Span, "1s", "how often the host's own measurements are taken"),
    Key::maybe("host.permit.*.per_hour", Kind::Number, "10", "how often in any hour the step may happen"),
    Key::maybe("host.permit.*.approvals", Kind::Number, "0", "how many people must approve it"),
    Key::maybe("host.probe.#.*", Kind::Any, "see probes.md", "a probe of the host: see probes.md"),
];

const TARGET: &[Key] = &[
    Key::needed("target.#.name", Kind::Text, "unique on the host"),
    Key::maybe("target.#.service", Kind::Text, "none", "the service that it is a member of; may span hosts"),
    Key::maybe("target.#.labels.*", Kind::Text, "no labels", "free labels"),
    Key::of("target.#.critical", Kind::Switch, "false", "whether its loss is a critical matter"),
    Key::of("target.#.depends_on", Kind::Texts, "[]", "what it needs: `db`, `hosts/H/targets/T` or `services/S`"),
    Key::maybe("target.#.manager", Kind::Text, "it is only watched", "`command` or `systemd`"),
    Key::maybe("target.#.start", Kind::Texts, "required with `command`", "program and words that start it"),
    Key::maybe("target.#.stop", Kind::Texts, "a signal", "program and words that ask it to end"),
    Key::maybe("target.#.pid_file", Kind::Text, "none", "the file in which it writes the id of its main process"),
    Key::maybe("target.#.working_dir", Kind::Text, "the file's directory", "where it runs"),
    // Passwords are in environments more often than they should.
    Key::maybe("target.#.env.*", Kind::Text, "nothing is added", "added to its environment").secret(),
    Key::maybe("target.#.output", Kind::Text, "discarded", "the file that its output is appended to"),
    Key::of("target.#.start_with_agent", Kind::Switch, "true", "start it when the agent starts"),
    Key::of("target.#.stop_with_agent", Kind::Switch, "false", "stop it when the agent stops"),
    Key::maybe("target.#.unit", Kind::Text, "required with `systemd`", "the unit, with its suffix"),
    Key::maybe("target.#.probe.#.*", Kind::Any, "see probes.md", "a probe: see probes.md"),
    Key::needed("target.#.directory.#.name", Kind::Text, "its name"),
    Key::needed("target.#.directory.#.path", Kind::Text, "where it is"),
    Key::needed("target.#.directory.#.quota", Kind::Size, "how much it may hold"),
    Key::of("target.#.directory.#.older_than", Kind::Span, "1d", "how old a file must be to be removed"),
    Key::needed("target.#.directory.#.match", Kind::Texts, "patterns of files that may be removed"),
    Key::of("target.#.directory.#.interval", Kind::Span, "10s", "how often it is walked"),
    Key::needed("target.#.file.#.name", Kind::Text, "its name"),
    Key::needed("target.#.file.#.path", Kind::Text, "where it is"),
    Key::of(
        "target.#.file.#.known_good_after",
        Kind::Span,
        "60s",
        "how long all must be well for its content to be known as good",
    ),
    Key::maybe(
        "target.#.file.#.validate",
        Kind::Any,
        "nothing validates it",
        "program and words; `{file}` stands for the file",
    ),
    Key::maybe("target.#.file.#.source", Kind::Text, "it is not updated", "where a new content comes from"),
    Key::maybe("target.#.file.#.timeout", Kind::Span, "1m", "how long `validate` may take"),
    Key::of("target.#.file.#.interval", Kind::Span, "60s", "how often its digest is taken, besides its changes"),
    Key::maybe("target.#.permit.*.per_hour", Kind::Number, "10", "how often in any hour the step may happen"),
    Key::maybe("target.#.permit.*.approvals", Kind::Number, "0", "how many people must approve it"),
];

/// Every key. A test compares them with what is read.
#[must_use]
pub fn keys() -> Vec<Key> {
    [HOST, TARGET, TARGET_PARTS, HOST_PARTS].concat()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prunella_settings::audit::compare;
    use prunella_settings::environment::graft;
    use prunella_settings::reference::Otherwise;

    use super::*;
    use crate::config::AgentConfig;
    use crate::config::file::File;

    const BASE: &str = "[[target]]\nname = \"web\"\nmanager = \"command\"\nstart = [\"true\"]\n\
        [[target.directory]]\nname = \"logs\"\npath = \"logs\"\nquota = \"1MiB\"\nmatch = [\"*.log\"]\n\
        [[target.file]]\nname = \"conf\"\npath = \"conf\"\n";

    fn read(variables: &[(String, String)]) -> Result<AgentConfig, String> {
        let name = "agent.toml";
        AgentConfig::read(name, BASE, Path::new("/etc/p"), "h1", variables.iter().cloned())
            .map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn the_table_has_every_key_that_is_read_and_no_other() {
        // The policy of `prunella up` is read by others.
        let keys: Vec<Key> = keys().into_iter().chain([Key::maybe("policy", Kind::Any, "", "")]).collect();
        let wrong = compare(&keys, |path, key| {
            let named: Vec<String> =
                path.iter().map(|it| if it == "*" { "restart_service".to_owned() } else { it.clone() }).collect();
            toml::from_str::<File>(&graft("", &named, key)).err().map(|error| error.message().to_owned())
        });
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn defaults_are_those_that_hold_and_every_key_has_its_variable() {
        let plain = format!("{:?}", read(&[]).unwrap());
        for key in keys() {
            let Otherwise::Is(default) = key.otherwise else { continue };
            let variable = key.variable(PREFIX).replace("__N__", "__0__");
            let with = read(&[(variable.clone(), default.to_owned())]).unwrap();
            assert_eq!(format!("{with:?}"), plain, "{variable} = {default}");
        }
    }

    #[test]
    fn the_environment_goes_before_the_file_and_its_errors_name_the_variable() {
        let one = |name: &str, value: &str| read(&[(format!("{PREFIX}{name}"), value.to_owned())]);
        assert!(one("LIMITS__OBSERVE_ONLY", "true").unwrap().limits.observe_only);
        assert_eq!(one("AGENT__LABELS__RACK", "4").unwrap().labels["rack"], "4");
        let error = one("AGENT__CONTROL", "nowhere").unwrap_err();
        assert!(error.starts_with("PRUNELLA_AGENT__AGENT__CONTROL: "), "{error}");
        let error = one("TARGET__1__CRITICAL", "true").unwrap_err();
        assert!(error.contains("there is no target 1; the file has 1"), "{error}");
    }
}
