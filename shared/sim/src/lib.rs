//! A simulated fleet around the real engine and the real ward.
