//! The program `portcullis`: parse arguments, call `cli`.

/// Many threads that allocate and free at the rate of requests: jemalloc keeps both the time and the memory down.
#[cfg(feature = "gateway")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(feature = "gateway")]
fn main() -> std::process::ExitCode {
    portcullis::cli::main()
}

#[cfg(not(feature = "gateway"))]
fn main() -> std::process::ExitCode {
    // The library alone has no command line.
    std::process::ExitCode::from(2)
}
