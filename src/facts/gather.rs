//! Gathers [`super::Facts`] from the host.
