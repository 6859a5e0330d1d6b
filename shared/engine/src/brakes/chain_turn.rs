//! Links of a chain are repaired one after the other.

use prunella_model::incident::LinkState;

use super::{Ask, Brake, Class, Stop};

/// See the module.
pub(super) struct ChainTurn;

impl Brake for ChainTurn {
    fn name(&self) -> &'static str {
        "chain_turn"
    }

    fn about(&self) -> &'static str {
        "The place in a chain that a person asked for: what a target needs is repaired first. Releases when the links before \
         it are over, or the chain has ended."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        if ask.rollback {
            return None;
        }
        let (head, at) = ask.engine.chain_of(ask.key)?;
        let chain = ask.engine.running(head)?;
        let own = chain.links.get(at)?;
        if own.state != LinkState::Waiting {
            return None;
        }
        let first = chain.current().and_then(|at| chain.links.get(at)).filter(|first| first.target != own.target)?;
        let (position, length, by) = (at + 1, chain.links.len(), &chain.by);
        let why = format!(
            "it is link {position} of {length} of the chain that {by} asked for (incident {head}), and {} comes first",
            first.target
        );
        Stop::when("the links before it are over", why)
    }
}
