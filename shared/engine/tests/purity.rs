//! The engine decides and does nothing else: nothing that it stands on can reach a network, a disk or a clock.

use std::process::Command;

#[test]
fn the_engine_stands_on_nothing_impure() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = Command::new(cargo)
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", "prunella-engine"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout);
    assert!(tree.contains("prunella-model"), "cargo tree speaks of the engine: {tree}");
    let impure =
        ["tokio", "tonic", "sled", "mio", "socket2", "rustix", "libc", "getrandom", "rand", "chrono", "jiff", "time"];
    for name in tree.lines().filter_map(|line| line.split_whitespace().next()) {
        assert!(!impure.contains(&name), "the engine must not stand on {name}");
    }
}
