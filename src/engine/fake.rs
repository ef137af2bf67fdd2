//! Engines in memory.
