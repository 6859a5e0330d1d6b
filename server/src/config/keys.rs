//! Every key of `server.toml`, for its reference and for what the environment may override.

use prunella_settings::reference::{Key, Kind};

/// What the variables begin with that override keys of `server.toml`.
pub const PREFIX: &str = "PRUNELLA_SERVER__";

/// Every key. A test compares them with what is read.
pub const KEYS: &[Key] = &[
    Key::needed("fleet", Kind::Text, "the fleet's name: the trust domain of its certificates"),
    Key::of("state_dir", Kind::Text, "state", "store, journal, audit log, history, exports"),
    Key::of("policy", Kind::Text, "policy.toml", "the policy that a new fleet starts with; SIGHUP reads it again"),
    Key::of("addresses", Kind::Text, "addresses.json", "where the addresses are written once they are listened on"),
    Key::needed("listen.control", Kind::Text, "where operators and joining hosts connect; port 0 takes any free one"),
    Key::needed("listen.agents", Kind::Text, "where agents connect"),
    Key::maybe(
        "listen.http",
        Kind::Text,
        "`127.0.0.1:8009`, any free port if that is taken",
        "where browsers and programs that speak JSON connect, or `off`",
    ),
    Key::maybe("public.control", Kind::Text, "as listened on", "under which address others reach `listen.control`"),
    Key::of("public.agents", Kind::Texts, "[]", "under which addresses agents reach this server, in that order"),
    Key::of(
        "public.names",
        Kind::Texts,
        "[]",
        "names and addresses in the server's certificate; none means those of `public`",
    ),
    Key::of("tls.authority", Kind::Text, "tls/ca.pem", "the certificate of the fleet's authority"),
    Key::of("tls.authority_key", Kind::Text, "tls/ca.key", "the file of its key"),
    Key::of("tls.certificate", Kind::Text, "tls/server.pem", "the server's certificate chain"),
    Key::of("tls.key", Kind::Text, "tls/server.key", "the file of its key"),
    Key::of("keys.server", Kind::Text, "keys/server.key", "the file of the key that signs deliveries"),
    Key::maybe(
        "keys.signer",
        Kind::Text,
        "the delegation comes from elsewhere",
        "the file of the fleet signer's key, if this machine shall renew its own delegation",
    ),
    Key::of("trust.fleet", Kind::Text, "trust/fleet.json", "the fleet file, signed by the root keys"),
    Key::of("trust.delegation", Kind::Text, "trust/delegation.json", "the delegation, signed by a fleet signer"),
    Key::of("export.every", Kind::Span, "10m", "how often the store is exported to `state/export`"),
    Key::maybe(
        "traces.endpoint",
        Kind::Text,
        "none are told",
        "where a collector takes the traces of incidents, as OTLP over HTTP",
    ),
    Key::maybe(
        "notify.dashboard",
        Kind::Text,
        "messages have no links",
        "where the dashboard is for people who get a message",
    ),
    Key::needed("notify.receiver.#.name", Kind::Text, "its name: lower-case letters, digits and hyphens"),
    Key::needed("notify.receiver.#.kind", Kind::Text, "webhook, alertmanager, slack, pagerduty or jira"),
    // The address of a Slack webhook is its password.
    Key::needed("notify.receiver.#.url", Kind::Text, "where it listens").secret(),
    Key::maybe("notify.receiver.#.secret_file", Kind::Text, "none", "the file of what it wants for a password"),
    Key::maybe("notify.receiver.#.project", Kind::Text, "none", "the project in which issues are opened (jira)"),
    Key::needed("notify.route.#.receivers", Kind::Texts, "names of receivers"),
    Key::of("notify.route.#.severity", Kind::Text, "medium", "only incidents at least so severe"),
    Key::of(
        "notify.route.#.moments",
        Kind::Texts,
        "[\"needs_person\", \"overdue\", \"resolved\"]",
        "at which moments: see notifications.md",
    ),
    Key::of("notify.route.#.hosts", Kind::Texts, "[]", "only these hosts; a name may end with `*`; none means all"),
    Key::of("notify.route.#.services", Kind::Texts, "[]", "only these services; none means all"),
    Key::maybe("notify.route.#.labels.*", Kind::Text, "no label matters", "only targets with all of these labels"),
];

#[cfg(test)]
mod tests {
    use prunella_settings::environment;
    use prunella_settings::reference::Otherwise;

    use crate::config::Config;

    use super::*;

    /// Every list has one element, so that its keys can be tried.
    const BASE: &str = "fleet = \"f\"\n[listen]\ncontrol = \"127.0.0.1:0\"\nagents = \"127.0.0.1:0\"\n\
        [[notify.receiver]]\nname = \"chat\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n\
        [[notify.route]]\nreceivers = [\"chat\"]\n";

    fn read(variables: &[(String, String)]) -> Result<Config, String> {
        Config::read("server.toml", BASE, variables.iter().cloned()).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn the_table_has_every_key_that_is_read_and_no_other() {
        let wrong = prunella_settings::audit::compare(KEYS, |path, key| {
            let text = environment::graft("", path, key);
            toml::from_str::<Config>(&text).err().map(|error| error.message().to_owned())
        });
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn defaults_are_those_that_hold_and_every_key_has_its_variable() {
        let plain = read(&[]).unwrap();
        for key in KEYS {
            let Otherwise::Is(default) = key.otherwise else { continue };
            let variable = key.variable(PREFIX).replace("__N__", "__0__");
            let with = read(&[(variable.clone(), default.to_owned())]).unwrap();
            assert_eq!(with, plain, "{variable} = {default}");
        }
    }

    #[test]
    fn the_environment_goes_before_the_file_and_its_errors_name_the_variable() {
        let one = |name: &str, value: &str| read(&[(format!("{PREFIX}{name}"), value.to_owned())]);
        assert_eq!(one("LISTEN__CONTROL", "127.0.0.1:7443").unwrap().listen.control.port(), 7443);
        assert_eq!(one("PUBLIC__NAMES", "a.example, b.example").unwrap().public.names, ["a.example", "b.example"]);
        assert_eq!(one("NOTIFY__ROUTE__0__HOSTS", "web-*").unwrap().notify.route[0].hosts, ["web-*"]);
        assert_eq!(one("NOTIFY__ROUTE__0__LABELS__TIER", "1").unwrap().notify.route[0].labels["tier"], "1");
        let error = one("EXPORT__EVERY", "0s").unwrap_err();
        assert!(error.starts_with("PRUNELLA_SERVER__EXPORT__EVERY: an export at most every second"), "{error}");
        let error = one("LISTEN__CONTRL", "x").unwrap_err();
        assert!(error.contains("did you mean PRUNELLA_SERVER__LISTEN__CONTROL?"), "{error}");
    }
}
