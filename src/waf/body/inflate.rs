//! Content codings undone for inspection, within bounds.
