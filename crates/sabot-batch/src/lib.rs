//! Morsels: Arrow record batches with row kinds, lazy selection, time bounds; and the key hash.
