//! Errors with a place.
