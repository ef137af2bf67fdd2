//! The container engine without a daemon.
