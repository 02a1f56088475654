//! `tidy`: being written.
