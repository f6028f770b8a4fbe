//! What is kept, for how long, and what is asked for again (checklist 22, 32, 52 to 54, 64).

mod freshness;
mod negative;
mod only_what_is_asked;
mod store;
