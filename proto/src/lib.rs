//! Protocol definitions, generated code, and the one place where wire types become ours.

pub mod dial;
pub mod wire;

/// `prunella.agent.v1`: what agents and servers say to each other.
pub mod agent {
    /// The first version, and the only one.
    #[expect(
        missing_docs,
        clippy::all,
        clippy::allow_attributes,
        reason = "generated; the .proto files are documented"
    )]
    pub mod v1 {
        tonic::include_proto!("prunella.agent.v1");
    }
}

/// `prunella.control.v1`: what operators ask of a fleet.
pub mod control {
    /// The first version, and the only one.
    #[expect(
        missing_docs,
        clippy::all,
        clippy::allow_attributes,
        reason = "generated; the .proto files are documented"
    )]
    pub mod v1 {
        tonic::include_proto!("prunella.control.v1");
    }
}

/// Every descriptor of the protocol, encoded: for reflection, and for tests that walk all methods.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
