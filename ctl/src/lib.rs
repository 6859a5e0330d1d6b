//! The prunella command.
