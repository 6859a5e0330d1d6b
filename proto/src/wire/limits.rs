//! How much one message may hold. Whatever is larger is refused whole, by name.
//!
//! These bound the memory and the time that one peer can take, far above what a real host needs.

/// Targets of one host. A large database host watches a few dozen things.
pub const TARGETS_MAX: usize = 512;
/// Probes of one target; there are eight kinds.
pub const PROBES_MAX: usize = 64;
/// Permits of one target; there are some three dozen kinds of step, and room for those of later versions.
pub const PERMITS_MAX: usize = 64;
/// Directories, files or other parts of one target.
pub const PARTS_MAX: usize = 256;
/// Dependencies of one target.
pub const DEPENDENCIES_MAX: usize = 128;
/// Labels of one host or target.
pub const LABELS_MAX: usize = 64;
/// The longest label key or label value, in bytes.
pub const LABEL_LENGTH_MAX: usize = 256;
/// Series that one message may name: a dozen for each target.
pub const SERIES_MAX: usize = 8_192;
/// Measurements of one frame: each series at most once.
pub const SAMPLES_MAX: usize = 8_192;
/// Observations of one message: each probe of a full host at most once.
pub const OBSERVATIONS_MAX: usize = 8_192;
/// Waits of one frame: each target for a few others.
pub const WAITS_MAX: usize = 4_096;
/// Snapshots of one answer; an agent keeps some fifty.
pub const SNAPSHOTS_MAX: usize = 1_024;
/// Outcomes that one message may tell or acknowledge; an agent's backlog after a long time alone.
pub const OUTCOMES_MAX: usize = 4_096;
/// Lines that an outcome says about its steps: sixteen steps, a few lines each.
pub const NOTES_MAX: usize = 128;
/// The longest text for a person, in bytes. Longer ones are cut when they are encoded.
pub const TEXT_MAX: usize = 2_048;
/// The longest file path, in bytes: what Linux allows.
pub const PATH_MAX: usize = 4_096;
/// The longest opaque id of a boot or of a run, in bytes.
pub const OPAQUE_ID_MAX: usize = 256;
/// The longest JSON that a refusal carries, in bytes.
pub const REFUSAL_DETAIL_MAX: usize = 8_192;
/// The largest payload of an envelope, in bytes. A command takes a few hundred, a fleet file a few thousand.
pub const PAYLOAD_MAX: usize = 256 * 1024;
/// The longest payload type or key id of an envelope, in bytes.
pub const PAYLOAD_TYPE_MAX: usize = 256;
/// Signatures of one envelope: one for each root key or approver.
pub const SIGNATURES_MAX: usize = 64;
/// The longest signature, in bytes. Ed25519 takes 64; what is not 64 the verifier refuses.
pub const SIGNATURE_LENGTH_MAX: usize = 256;
/// Approvals of one command.
pub const APPROVALS_MAX: usize = 64;
/// Entries of each list in an intent. The ward's own limit on steps is lower and has its own reason;
/// this one merely bounds memory before the ward is asked.
pub const INTENT_LIST_MAX: usize = 1_024;
