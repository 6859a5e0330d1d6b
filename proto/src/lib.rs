//! Protocol definitions, generated code, and the one place where wire types become ours.
