//! The binary on a fake root, with stub programs on `PATH`.
