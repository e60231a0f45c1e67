//! Typed expression IR, type rules, the interpreter that is the oracle, and the function registry.
