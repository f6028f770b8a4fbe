//! The endpoints, their headers and the way they speak HTTP.

mod conditional;
mod connections;
mod endpoints;
mod errors;
mod hashes;
mod headers;
mod http2;
mod latest;
mod zips;
