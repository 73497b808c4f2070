//! A bus: one publisher, its subscribers, and who is compared.

mod case;
mod figures;
mod load;
mod measurement;
mod peer;
mod report;
mod script;
mod series;
mod standstill;
mod subscriber;
mod table;

pub(crate) use series::run;
