//! authoring (being built).
