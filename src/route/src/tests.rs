//! The path of a call through a snapshot, as a whole.
