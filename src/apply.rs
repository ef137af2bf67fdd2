//! Walks the plan: one step, one call.
