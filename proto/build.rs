//! Compiles the protocol with protox, so that a fresh machine needs no protoc.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 12] = [
    "prunella/agent/v1/agent.proto",
    "prunella/agent/v1/command.proto",
    "prunella/control/v1/admin.proto",
    "prunella/control/v1/diagnostics.proto",
    "prunella/control/v1/event.proto",
    "prunella/control/v1/fleet.proto",
    "prunella/control/v1/health.proto",
    "prunella/control/v1/incident.proto",
    "prunella/control/v1/learning.proto",
    "prunella/control/v1/notification.proto",
    "prunella/control/v1/optimiser.proto",
    "prunella/control/v1/snapshot.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=prunella");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.binpb"), descriptors.encode_to_vec())?;
    // Ordered maps, so that the same message always gives the same bytes.
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
