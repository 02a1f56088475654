//! `perf`: being written.
