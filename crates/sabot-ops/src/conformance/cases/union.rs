//! Union: the common schema over inputs that are stricter.

use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

use super::Cases;
use crate::conformance::Equality;
use crate::conformance::data::{Values, payload_types};
use crate::{Fragment, UnionSpec};

pub(super) fn add(cases: &mut Cases) {
    for nullable in [true, false] {
        let detail = if nullable { "nullable input" } else { "input never null" };
        cases.case("union/schema", detail, move |bench| {
            let fields = |nullable: bool| -> Vec<Field> {
                let types = payload_types().into_iter().enumerate();
                types.map(|(i, t)| Field::new(format!("c{i}"), t, nullable)).collect()
            };
            let input = Arc::new(Schema::new(fields(nullable)));
            let schema = Arc::new(Schema::new(fields(true)));
            let columns = vec![Equality::Bits; input.fields().len()];
            let fragment = Fragment::new(input.clone(), vec![UnionSpec { schema }.into()])?;
            let morsels = bench.morsels(&input, false, &|_| Values::Wild)?;
            bench.check(&fragment, &morsels, &columns)
        });
    }
    cases.cell("union/row-kinds", |bench| {
        let input = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let fragment = Fragment::new(input.clone(), vec![UnionSpec { schema }.into()])?;
        let morsels = bench.morsels(&input, true, &|_| Values::Tame)?;
        bench.check(&fragment, &morsels, &[Equality::Bits])
    });
}
