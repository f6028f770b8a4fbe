//! `[modules]`: what is known of modules by their names.

use super::codec::patterns;
use super::section::section;
use crate::gomod::Patterns;

section! {
    /// What is known of modules by their names.
    pub struct Modules = "modules" {
        /// Private modules, written as GOPRIVATE: "git.example.com/*,example.com/team". They are never
        /// asked of a public upstream. A pattern that can match nothing is an error.
        private: Patterns = "" => patterns(),
            twin "--private" "LARDER_PRIVATE";
    }
}
