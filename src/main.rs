//! The program `portcullis`: parse arguments, call `cli`.

fn main() {}
