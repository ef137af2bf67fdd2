//! The lock that one reconcile of a stack holds.
