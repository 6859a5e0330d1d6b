//! What targets are seen to wait for, and what their administrators declare that they need.

use prunella_model::TargetRef;
use prunella_model::host::Dependency;
use prunella_model::observation::Wait;

use crate::faults::{Spot, to_index};
use crate::scenario::{Primitive, Where};
use crate::truth::Place;
use crate::world::World;

impl World {
    /// Everything that a host's targets wait for. Null on hosts where nothing ever did, so that their frames stay small.
    pub(crate) fn waits_of(&mut self, host: usize) -> Option<Vec<Wait>> {
        let targets = self.hosts.get(host)?.targets.len();
        let waits: Vec<Wait> = (0..targets).filter_map(|target| self.wait_of((host, target))).collect();
        let it = &mut self.hosts[host];
        it.waited |= !waits.is_empty();
        it.waited.then_some(waits)
    }

    /// What a target waits for: the next place in the circle of its fault.
    fn wait_of(&self, place: Place) -> Option<Wait> {
        let target = self.hosts.get(place.0)?.targets.get(place.1)?;
        let (fault, what) = target.active.iter().find_map(|it| {
            let Primitive::Lock(lock) = &it.effect.primitive else { return None };
            Some((it.fault, lock.what.clone()))
        })?;
        let held = |spot: &Spot| match spot {
            Spot::Host(_) => None,
            Spot::Target(other) => self.hosts[other.0].targets[other.1]
                .active
                .iter()
                .any(|it| it.fault == fault && matches!(it.effect.primitive, Primitive::Lock(_)))
                .then_some(*other),
        };
        let circle: Vec<Place> = self.faults.all.get(to_index(fault))?.spots.iter().filter_map(held).collect();
        let own = circle.iter().position(|it| *it == place)?;
        let next = *circle.get((own + 1) % circle.len()).filter(|next| **next != place)?;
        Some(Wait { waiter: target.name.clone(), on: self.reference(next), what })
    }

    fn reference(&self, (host, target): Place) -> TargetRef {
        let it = &self.hosts[host];
        TargetRef::new(it.id.clone(), it.targets[target].name.clone())
    }

    /// A target's administrator declares that it needs others, or that it does no more.
    pub(crate) fn declares(&mut self, place: Place, needs: Where, more: bool) {
        let needed = self.spots(place, needs).into_iter().filter_map(|spot| match spot {
            Spot::Target(other) if other != place => Some(Dependency::Target(self.reference(other))),
            Spot::Target(_) | Spot::Host(_) => None,
        });
        let needed: Vec<Dependency> = needed.collect();
        let declared = &mut self.hosts[place.0].reports[place.1].depends_on;
        if more {
            declared.extend(needed);
        } else {
            for it in needed {
                if let Some(last) = declared.iter().rposition(|other| *other == it) {
                    declared.remove(last);
                }
            }
        }
        self.report_again(place.0);
    }
}
