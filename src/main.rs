//! The binary: flags in, exit code out; everything else is the library.

fn main() {}
