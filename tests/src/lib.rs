//! Fixtures for tests that need several crates or real processes.
