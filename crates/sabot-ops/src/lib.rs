//! Operator specs, fragments, the backend contract, reference implementations and the conformance suite.
