//! In which order is repaired what a target needs, when a person asks for all of it?
//!
//! What is needed is repaired first and whoever needs it after that, one after the other, each as if a person had asked
//! for it alone: through all brakes but those of pacing and consent, through all do-no-harm rules, and verified before the
//! next one begins. The chain stops at the first link that is not healed. Whoever recovers with its cause needs no repair and is
//! passed over. The order is made once, when the chain is asked for; in a cycle it is the one in which blame is laid, so
//! no link ever waits for a later one.
//!
//! The incident of the target that was named keeps the chain, so to cancel that incident ends the chain: what has not begun is
//! not begun.

mod ask;
mod course;
