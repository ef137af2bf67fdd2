//! Look, decide, act: once.
