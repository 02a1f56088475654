//! `transaction`: being written.
