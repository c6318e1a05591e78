//! Credentials against stub token endpoints: what is sent, what is kept, what is reported, and what is never shown.

mod authority;
mod cache;
mod certificate;
mod cli;
mod failures;
mod imds;
mod log;
mod proxies;
mod reloading;
mod world;
