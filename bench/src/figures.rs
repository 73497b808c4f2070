//! The figures that plantd promises, against what was measured.

use serde::Serialize;

/// One promise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    pub(crate) unit: &'static str,
    /// None where what it takes was not measured.
    pub(crate) measured: Option<f64>,
    pub(crate) met: Option<bool>,
}

/// What a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(
        what: impl Into<String>,
        bound: Bound,
        unit: &'static str,
        measured: Option<f64>,
    ) -> Self {
        let met = measured.map(|measured| match bound {
            Bound::AtLeast(bound) => measured >= bound,
            Bound::AtMost(bound) => measured <= bound,
        });
        Self {
            what: what.into(),
            bound,
            unit,
            measured,
            met,
        }
    }
}
