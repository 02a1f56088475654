//! The house rules as tests: layers, purity of the core, sizes of files and functions, names.
//!
//! The library reads the tree ([`tree`]), masks comments and strings ([`mask`]), and finds paths,
//! functions and test regions in what is left ([`source`]); `tests/house_rules.rs` holds one test
//! for each rule, and each lists every offender as `file:line`. It compiles nothing of the
//! workspace, so it says what is wrong even when the tree does not build.

#![forbid(unsafe_code)]

pub mod layers;
pub mod mask;
pub mod source;
pub mod tree;
