//! The units that ship: sandboxed as the documents say.

use std::path::Path;
use std::process::Command;

/// What `systemd-analyze security` may say at most, in tenths; docs/privilege.md names the present figures.
const EXPOSURE: [(&str, u32); 3] =
    [("prunella-agent.service", 15), ("prunella-agent-helper.service", 20), ("prunella-server.service", 15)];

#[test]
fn units_are_sandboxed() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    for (unit, tenths) in EXPOSURE {
        let threshold = format!("--threshold={tenths}");
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager", &threshold]).arg(units.join(unit));
        let Ok(output) = analyze.output() else {
            eprintln!("SKIPPED: systemd-analyze is not installed; the sandboxes of the units were not checked");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{unit} is more exposed than {tenths} tenths:\n{said}");
    }
}
