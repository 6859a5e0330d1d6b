//! What agents may do by themselves while the server cannot be reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::standing::ORDERS_LIFE_MAX;
use crate::time::span;

/// The shortest life of orders: below it they would be made anew all the time.
const LIFE_MIN: Duration = Duration::from_secs(60);

/// Which standing orders are issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StandingOrdersPolicy {
    /// False issues none, and takes back those that were issued.
    pub enabled: bool,
    /// How long a process must be ended, and no server be reached, before the agent starts it again by itself.
    #[serde(with = "span")]
    pub held: Duration,
    /// How often, each time it is alone, an agent may start the same service again; 1 to 8.
    pub runs: u32,
    /// How long orders are good; at most 24 hours. They are made anew when an eighth of it has passed.
    #[serde(with = "span")]
    pub lifetime: Duration,
}

impl Default for StandingOrdersPolicy {
    fn default() -> Self {
        Self { enabled: true, held: Duration::from_secs(30), runs: 3, lifetime: Duration::from_secs(4 * 3600) }
    }
}

impl StandingOrdersPolicy {
    /// How long orders are good, within bounds.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime.clamp(LIFE_MIN, ORDERS_LIFE_MAX)
    }

    /// How soon they are made anew.
    #[must_use]
    pub fn renew(&self) -> Duration {
        self.lifetime() / 8
    }
}
