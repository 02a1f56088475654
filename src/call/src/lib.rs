//! `call`: being written.
