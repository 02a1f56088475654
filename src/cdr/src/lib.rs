//! `cdr`: being written.
