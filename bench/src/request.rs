//! Requests: a client's window, the workers that answer, and who is compared.

mod case;
mod client;
mod crowd;
mod figures;
mod measurement;
mod memory;
mod peer;
mod report;
mod script;
mod series;
mod table;
mod workers;

pub(crate) use series::run;
