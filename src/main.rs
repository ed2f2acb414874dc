//! Parses arguments and maps the error to an exit code; nothing else.

fn main() {}
