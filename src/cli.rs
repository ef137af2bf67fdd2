//! Arguments, words, colours, exit codes.
