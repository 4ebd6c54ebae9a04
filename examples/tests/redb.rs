//! The backend of the tutorial keeps the contract.
