//! The integration tests: one binary, one module a subject.
mod lab;
mod lab_self_test;
