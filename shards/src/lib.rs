//! `shards`: being written.
