//! What is said to a running VM.
