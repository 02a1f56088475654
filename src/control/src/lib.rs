//! `control`: being written.
