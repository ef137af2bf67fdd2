//! The ledger: a cache per stack that can be lost.
