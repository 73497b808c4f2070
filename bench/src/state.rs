//! A state service: values set and read, and who is compared.

mod case;
mod figures;
mod flood;
mod large;
mod load;
mod measurement;
mod peer;
mod report;
mod script;
mod series;
mod table;

pub(crate) use large::run as run_large;
pub(crate) use series::run;
