//! What the router and the buses share: limits that hold for both together.

use plantd_zmtp::Admission;

use crate::memory::Memory;
use crate::metrics::Connections;

/// The router's and the buses' common accounts. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) admission: Admission,
    pub(crate) memory: Memory,
    pub(crate) connections: Connections,
}
