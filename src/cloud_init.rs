//! Seeds for cloud-init as pure text.
