//! The rule language as text: SecLang, as ModSecurity 2.9 and 3.0 read it.
//!
//! Text goes in, an abstract syntax tree with positions comes out, together with every problem found. Nothing here
//! knows what a rule does; `waf::compile` gives it meaning.

pub mod ast;
