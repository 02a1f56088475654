//! `route`: being written.
