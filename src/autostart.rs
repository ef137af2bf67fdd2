//! Coming back after a reboot: the systemd unit of a stack, and the note of what
//! ran when the host went down. What is started then is the plan's to say
//! ([`crate::plan::resume`]); no unit ever starts or stops a stack by itself.

pub mod ran;
pub mod systemd;
pub mod unit;
