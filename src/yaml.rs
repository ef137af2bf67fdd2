//! Bytes to a tree of nodes with spans.
