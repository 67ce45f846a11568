//! JSON bodies as arguments: one per scalar, named by its path.
