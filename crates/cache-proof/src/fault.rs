//! What can go wrong.

use serde::Deserialize;

use crate::{Mode, Setup};

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[non_exhaustive]
pub enum Fault {
    /// The server is killed, and comes back with nothing.
    RestartEmpty,
    /// The server is killed, and comes back with what it held some time before.
    OldSnapshot,
    /// The server stops for a while and goes on.
    PauseServer,
    /// Somebody empties the server, or one of several.
    Empty,
    /// The server has no room for writes.
    NoMemory,
    /// The server closes all connections.
    KillClients,
    /// The server closes the connections over which it tells of changes.
    KillListeners,
    /// Somebody sends messages that mean nothing.
    Garbage,
    /// A worker stops for a while and goes on.
    FreezeWorker,
    /// A worker is killed, and another takes over its keys.
    KillWorker,
    /// What the bus says is lost: its connections break and cannot be made.
    BusDown,
    /// Bytes are late.
    Delay,
    /// Bytes do not arrive until later.
    Stall,
    /// What the bus says gets late, and then nothing comes any more.
    Fade,
    /// Connections break again and again.
    Reset,
    /// Connections end again and again.
    Close,
    /// Requests arrive, their replies do not.
    CutReplies,
    /// Requests are lost, on new connections too; what the server says arrives.
    LoseRequests,
    /// Requests arrive, on new connections too; what the server says is lost.
    LoseReplies,
    /// Replies of the store have wrong bytes.
    FlipBytes,
    /// New connections are never answered.
    Silent,
    /// New connections are refused.
    Refuse,
    /// The master is killed, and another takes over.
    Failover,
    /// Slots move between nodes.
    MoveSlots,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 24] = [
        Self::RestartEmpty,
        Self::OldSnapshot,
        Self::PauseServer,
        Self::Empty,
        Self::NoMemory,
        Self::KillClients,
        Self::KillListeners,
        Self::Garbage,
        Self::FreezeWorker,
        Self::KillWorker,
        Self::BusDown,
        Self::Delay,
        Self::Stall,
        Self::Fade,
        Self::Reset,
        Self::Close,
        Self::CutReplies,
        Self::LoseRequests,
        Self::LoseReplies,
        Self::FlipBytes,
        Self::Silent,
        Self::Refuse,
        Self::Failover,
        Self::MoveSlots,
    ];

    /// Tells whether a run can have this fault.
    pub(crate) fn is_possible(self, mode: Mode, setup: Setup) -> bool {
        let has_bus = matches!(mode, Mode::Tracking | Mode::PubSub);
        match self {
            Self::FreezeWorker | Self::KillWorker | Self::KillClients => true,
            Self::KillListeners => has_bus,
            Self::Failover => setup != Setup::Standalone,
            Self::MoveSlots => setup == Setup::Cluster,
            Self::Empty => setup != Setup::Sentinels,
            Self::BusDown | Self::Fade => setup == Setup::Standalone && has_bus,
            Self::Garbage => setup == Setup::Standalone && mode == Mode::PubSub,
            _ => setup == Setup::Standalone,
        }
    }

    /// Tells whether it is the server that is at fault: one such at a time.
    pub(crate) const fn is_of_server(self) -> bool {
        matches!(
            self,
            Self::RestartEmpty
                | Self::OldSnapshot
                | Self::PauseServer
                | Self::Empty
                | Self::NoMemory
                | Self::KillClients
                | Self::KillListeners
                | Self::Garbage
                | Self::Failover
                | Self::MoveSlots
        )
    }

    /// Tells whether it befalls a process: one at a time, as what is dead cannot stand still.
    pub(crate) const fn is_of_worker(self) -> bool {
        matches!(self, Self::FreezeWorker | Self::KillWorker)
    }

    /// Tells whether the network stays as it is from the start of the fault to its end.
    pub(crate) const fn is_steady(self) -> bool {
        matches!(
            self,
            Self::Delay | Self::Stall | Self::LoseRequests | Self::LoseReplies
        )
    }
}
