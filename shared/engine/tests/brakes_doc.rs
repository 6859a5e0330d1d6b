//! The list of brakes in `docs/brakes.md` is the table in the code.
//!
//! `UPDATE_EXPECT=1 cargo test -p prunella-engine --test brakes_doc` writes it anew.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

use std::fmt::Write as _;
use std::path::Path;

use prunella_engine::catalogue::{Class, brakes};
use prunella_model::policy::FleetPolicy;

const BEGIN: &str = "<!-- brakes: written by a test -->\n";
const END: &str = "<!-- end -->\n";

fn table(wanted: impl Fn(Class) -> bool) -> String {
    let mut text =
        "| name | class | what it looks at, and when it releases | set by (default) |\n|---|---|---|---|\n".to_owned();
    for it in brakes(&FleetPolicy::default()).iter().filter(|it| wanted(it.class)) {
        let settings = if it.settings.is_empty() { "—".to_owned() } else { format!("`{}`", it.settings) };
        writeln!(text, "| `{}` | {} | {} | {settings} |", it.name, it.class.as_str(), it.about)
            .expect("a string takes it");
    }
    text
}

#[test]
fn the_list_of_brakes_is_the_table_in_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/brakes.md");
    let text = std::fs::read_to_string(&path).expect("docs/brakes.md exists");
    let (before, rest) = text.split_once(BEGIN).expect("the list begins");
    let (listed, after) = rest.split_once(END).expect("the list ends");
    let harm = |class| class == Class::DoNoHarm;
    let wanted = format!("{}\n### Do-no-harm rules\n\n{}", table(|class| !harm(class)), table(harm));
    if listed != wanted && std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("a writable text");
        return;
    }
    assert!(listed == wanted, "docs/brakes.md differs from the code; UPDATE_EXPECT=1 writes its list anew");
}
