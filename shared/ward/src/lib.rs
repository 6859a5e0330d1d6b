//! Accepts or refuses a command under the host's own policy.
