//! `sim`: being written.
