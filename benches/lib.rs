//! Benchmarks of the hot modules: one file each. `make bench` runs them.
