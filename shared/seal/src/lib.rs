//! The signed envelope, delegation, and the hash chain that makes a log tamper-evident.
