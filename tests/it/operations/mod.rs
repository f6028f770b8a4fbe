//! Running it: commands, configuration, probes, limits, start and stop (design 8 and 9).

mod access;
mod audit;
mod auth;
mod callers;
mod commands;
mod configuration;
mod data_dir;
mod default_chain;
mod full_disk;
mod json;
mod lifecycle;
mod limits;
mod listeners;
mod probes;
mod reload;
mod shares;
mod tls;
mod tokens;
