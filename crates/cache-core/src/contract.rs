//! The contract: what the facade asks of a backend, and what the two tell each other.

mod abilities;
pub mod backend;
mod backend_entry;
mod backend_write;
pub mod bus;
mod counters;
mod expiry;
mod flights;
mod load_leases;
mod locks;
mod scope;
mod store_id;
pub(crate) mod tags;
mod transactions;
mod version;

pub use self::abilities::Abilities;
pub use self::backend::{CacheBackend, Capabilities, Cursor, DynBackend, Page, ReadNow, SetNow};
pub use self::backend_entry::BackendEntry;
pub use self::backend_write::{BackendWrite, Condition};
pub use self::bus::{FlushCause, Invalidation, InvalidationBus, InvalidationListener};
pub use self::counters::{Count, Counters, MAX_COUNT, Window};
pub(crate) use self::expiry::MIN_TTL;
pub use self::expiry::{Expiry, MAX_TTL};
pub use self::flights::Flights;
pub use self::load_leases::{Claim, LoadLease, LoadLeases};
pub use self::locks::{Acquired, LockToken, Locks};
pub use self::scope::Scope;
pub use self::store_id::StoreId;
pub use self::tags::{MAX_TAG_BYTES, MAX_TAGS, TagTicket, Tagging, Tags};
pub use self::transactions::{MAX_TRANSACTION_KEYS, TransactionWrite, Transactions, Watch};
pub use self::version::{Version, Versioned};
