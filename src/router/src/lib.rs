//! `router`: being written.
