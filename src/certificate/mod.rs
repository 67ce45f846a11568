//! certificate (being built).
