//! One store for each clause about limits, broken in one way: its clause, and no other,
//! must say so.

mod clauses;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clauses::{assert_complete, assert_told_apart, turn};
use keyward::{
    Charge, LimitStore, LimitSubject, MemoryLimitStore, SharedLimit, StoreError, StoreErrorKind,
    Taken, conformance,
};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ChargesOneByOne,
    ChargesTwiceTheSameOnce,
    ChecksThenTakes,
    ClonesAreNewStores,
    CountsByRule,
    CountsByName,
    CountsOnlyWhatCosts,
    DeniesZeroWithoutRoom,
    EverythingFails,
    ForgetsTheWait,
    ForgetsWhatItDenied,
    KeepsWhatItTookOfLongLists,
    OwnersInLowerCase,
    TellsAWaitThatIsTooShort,
}

const CLAUSES: [(Fault, &str); 13] = [
    (Fault::KeepsWhatItTookOfLongLists, "L1"),
    (Fault::DeniesZeroWithoutRoom, "L2"),
    (Fault::CountsByName, "L3"),
    (Fault::OwnersInLowerCase, "L3"),
    (Fault::CountsByRule, "L4"),
    (Fault::ForgetsTheWait, "L5"),
    (Fault::CountsOnlyWhatCosts, "L5"),
    (Fault::ChecksThenTakes, "L6"),
    (Fault::ChargesTwiceTheSameOnce, "L7"),
    (Fault::ChargesOneByOne, "L8"),
    (Fault::ClonesAreNewStores, "L9"),
    (Fault::TellsAWaitThatIsTooShort, "L10"),
    (Fault::ForgetsWhatItDenied, "L10"),
];

#[pollster::test]
async fn a_broken_store_fails_its_clause_and_no_other() {
    let mut found = Vec::new();
    for (fault, clause) in CLAUSES {
        found.push((
            fault,
            clause,
            conformance::limit_violations(async || Broken::new(fault)).await,
        ));
    }
    assert_told_apart(&found);
}

#[pollster::test]
async fn every_clause_has_a_broken_store() {
    let broken = async || Broken::new(Fault::EverythingFails);
    assert_complete(&CLAUSES, &conformance::limit_violations(broken).await);
}

/// A store in memory with one fault.
struct Broken {
    fault: Fault,
    memory: MemoryLimitStore,
    rules: Arc<Mutex<HashMap<String, u32>>>,
    busy: Arc<Mutex<bool>>,
    taken: Arc<Mutex<Vec<Vec<Charge>>>>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        let (memory, rules, busy) = (MemoryLimitStore::new(), Arc::default(), Arc::default());
        Self { fault, memory, rules, busy, taken: Arc::default() }
    }

    /// Takes from a store in which nothing happened but what was taken before.
    fn anew(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        let (memory, mut before) = (MemoryLimitStore::new(), self.taken.lock().unwrap());
        for charges in &*before {
            pollster::block_on(memory.take(charges))?;
        }
        let taken = pollster::block_on(memory.take(charges))?;
        if taken == Taken::All {
            before.push(charges.to_vec());
        }
        Ok(taken)
    }

    /// What would be answered; nothing is taken.
    async fn look(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        let Some(last) = charges.last() else { return Ok(Taken::All) };
        let never = Charge { cost: u32::MAX, ..last.clone() };
        let more: Vec<Charge> = charges.iter().cloned().chain([never]).collect();
        Ok(match self.memory.take(&more).await? {
            Taken::Denied { charge, .. } if charge == charges.len() => Taken::All,
            denied => denied,
        })
    }

    async fn once(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        let mut once: Vec<Charge> = Vec::new();
        for one in charges {
            if !once.contains(one) {
                once.push(one.clone());
            }
        }
        Ok(match self.memory.take(&once).await? {
            Taken::Denied { charge, retry_after, resets_at } => {
                let first = charges.iter().position(|one| *one == once[charge]);
                Taken::Denied { charge: first.unwrap(), retry_after, resets_at }
            }
            Taken::All => Taken::All,
        })
    }

    /// The number of a rule in the order in which rules were seen.
    fn number(&self, limit: &SharedLimit) -> u32 {
        let mut rules = self.rules.lock().unwrap();
        let next = u32::try_from(rules.len()).unwrap();
        *rules.entry(format!("{limit:?}")).or_insert(next)
    }
}

impl Clone for Broken {
    fn clone(&self) -> Self {
        if self.fault == Fault::ClonesAreNewStores {
            return Self::new(self.fault);
        }
        let (memory, rules) = (self.memory.clone(), Arc::clone(&self.rules));
        let (busy, taken) = (Arc::clone(&self.busy), Arc::clone(&self.taken));
        Self { fault: self.fault, memory, rules, busy, taken }
    }
}

impl LimitStore for Broken {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        let mut charges = charges.to_vec();
        match self.fault {
            Fault::EverythingFails => Err(StoreError::new(StoreErrorKind::Unavailable)),
            Fault::KeepsWhatItTookOfLongLists => {
                let taken = self.look(&charges).await?;
                if let Taken::Denied { charge, .. } = taken {
                    if charges.len() > 2 {
                        self.memory.take(&charges[..charge]).await?;
                    }
                    return Ok(taken);
                }
                self.memory.take(&charges).await
            }
            Fault::DeniesZeroWithoutRoom => {
                if charges.iter().all(|one| one.cost == 0) {
                    for one in &mut charges {
                        one.cost = 1;
                    }
                    return self.look(&charges).await;
                }
                self.memory.take(&charges).await
            }
            Fault::CountsByName => {
                for one in &mut charges {
                    one.owner = "all".into();
                    one.subject = LimitSubject::Owner;
                }
                self.memory.take(&charges).await
            }
            Fault::OwnersInLowerCase => {
                for one in &mut charges {
                    one.owner = one.owner.to_lowercase().into();
                }
                self.memory.take(&charges).await
            }
            Fault::CountsByRule => {
                for one in &mut charges {
                    let number = self.number(&one.limit);
                    one.limit = match one.limit.clone() {
                        SharedLimit::Rate(rate) => {
                            let name = format!("{}.{number}", rate.name());
                            SharedLimit::Rate(rate.named(&name).unwrap())
                        }
                        quota @ SharedLimit::Quota(_) => quota,
                    };
                }
                self.memory.take(&charges).await
            }
            Fault::ForgetsTheWait => Ok(match self.memory.take(&charges).await? {
                Taken::Denied { charge, resets_at: Some(at), .. } => {
                    Taken::Denied { charge, retry_after: None, resets_at: Some(at) }
                }
                taken => taken,
            }),
            Fault::ForgetsWhatItDenied => self.anew(&charges),
            Fault::CountsOnlyWhatCosts => Ok(match self.memory.take(&charges).await? {
                Taken::Denied { charge, retry_after, resets_at } => {
                    let free = charges[..charge].iter().filter(|one| one.cost == 0).count();
                    Taken::Denied { charge: charge - free, retry_after, resets_at }
                }
                Taken::All => Taken::All,
            }),
            Fault::ChecksThenTakes => {
                let taken = self.look(&charges).await?;
                turn().await;
                if taken == Taken::All {
                    self.memory.take(&charges).await?;
                }
                Ok(taken)
            }
            Fault::ChargesTwiceTheSameOnce => self.once(&charges).await,
            Fault::ChargesOneByOne => {
                let _turn = Turn::of(&self.busy).await;
                let taken = self.look(&charges).await?;
                if taken == Taken::All {
                    for one in &charges {
                        self.memory.take(std::slice::from_ref(one)).await?;
                        turn().await;
                    }
                }
                Ok(taken)
            }
            Fault::ClonesAreNewStores => self.memory.take(&charges).await,
            Fault::TellsAWaitThatIsTooShort => Ok(match self.memory.take(&charges).await? {
                Taken::Denied { charge, retry_after: Some(wait), resets_at: None } => {
                    let retry_after = Some(wait / 2 + Duration::from_micros(1));
                    Taken::Denied { charge, retry_after, resets_at: None }
                }
                taken => taken,
            }),
        }
    }
}

/// One caller at a time, in an async way.
struct Turn(Arc<Mutex<bool>>);

impl Turn {
    async fn of(busy: &Arc<Mutex<bool>>) -> Self {
        loop {
            if !std::mem::replace(&mut *busy.lock().unwrap(), true) {
                return Self(Arc::clone(busy));
            }
            turn().await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = false;
    }
}
