//! `sip`: being written.
