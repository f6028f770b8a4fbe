//! `[prefetch]`: what is fetched before anybody asks for it.

use super::codec::{count, flag, size};
use super::section::section;

section! {
    /// What is fetched before anybody asks for it: the rest of a graph of requirements that a client
    /// has begun to fetch.
    pub struct Prefetch = "prefetch" {
        /// Whether anything is.
        enabled: bool = true => flag();

        /// The most such fetches at a time; an eighth of them may be of zips. What is asked for goes
        /// first in any case, and such fetches have at most half of the places at an upstream.
        requests: usize = 32 => count(1, 1024);

        /// What files that were fetched so, and that nobody has asked for yet, may take; then no more
        /// zips are.
        bytes: u64 = "512MB" => size().between(0, 1 << 40);

        /// Private modules, too.
        include_private: bool = false => flag();
    }
}
