//! The process: threads, sockets, snapshots, signals. What is above the path and below the command line.

pub mod clock;
