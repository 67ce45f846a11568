//! route (being built).
