//! The rule language as text: SecLang, as ModSecurity 2.9 and 3.0 read it.
//!
//! Text goes in, an abstract syntax tree with positions comes out, together with every problem found. Nothing here
//! knows what a rule does; `waf::compile` gives it meaning.
//!
//! In order of flow: [`source`] finds texts, [`lexer`] cuts them into lines and words, [`parse`] makes the tree of
//! [`ast`] with the help of the tables ([`directive`], [`variable`], [`operator`], [`transformation`], [`action`],
//! [`control`]).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod action;
pub mod ast;
pub mod control;
pub mod directive;
pub mod format;
pub mod lexer;
pub mod operator;
mod parser;
mod reference;
pub mod source;
pub mod table;
pub mod transformation;
pub mod variable;

pub use parser::{parse, parse_alone, parse_targets};
pub use reference::reference_markdown;
pub use source::SourceLoader;
