//! `[modules]`: what is known of modules by their names.

use super::codec::text;
use super::section::section;

section! {
    /// What is known of modules by their names.
    pub struct Modules = "modules" {
        /// Private modules, written as GOPRIVATE: "git.example.com/*,example.com/team". They are never
        /// asked of a public upstream.
        private: String = "" => text(|text| Ok(text.into())),
            twin "--private" "LARDER_PRIVATE";
    }
}
