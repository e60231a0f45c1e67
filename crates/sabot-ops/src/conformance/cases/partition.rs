//! Partition: the owner of every key, with the hash given and not.

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use rand::Rng;
use sabot_batch::{Morsel, hidden};
use sabot_common::KeyGroups;
use sabot_expr::type_name;
use std::sync::Arc;

use super::Cases;
use crate::conformance::Equality;
use crate::conformance::data::{Values, key_types, payload_types, schema_of, with_hidden};
use crate::{Fragment, PartitionSpec};

pub(super) fn add(cases: &mut Cases) {
    for parallelism in [1, 3, 4] {
        for data_type in key_types() {
            let detail = format!("{parallelism} tasks");
            cases.case(format!("partition/key/{}", type_name(&data_type)), detail, move |bench| {
                let schema = schema_of(&[("payload", DataType::Utf8), ("key", data_type.clone())]);
                let schema = with_hidden(schema, &[hidden::ROW]);
                let spec = spec(vec![1], parallelism, 128)?;
                let fragment = Fragment::new(schema.clone(), vec![spec.into()])?;
                let values = |i| if i == 1 { Values::Few } else { Values::Mixed };
                let mut morsels = bench.morsels(&schema, false, &values)?;
                morsels.extend(bench.morsels(&schema, false, &|_| Values::Wild)?);
                bench.check(&fragment, &morsels, &[Equality::Bits; 3])
            });
        }
        cases.case("partition/keys", format!("{parallelism} tasks"), move |bench| {
            let types = key_types().into_iter().enumerate();
            let fields: Vec<Field> = types.map(|(i, t)| Field::new(format!("c{i}"), t, true)).collect();
            let schema = Arc::new(Schema::new(fields));
            let keys = (0..schema.fields().len()).rev().collect();
            // As many groups as tasks, so that a group one too high is a task one too high.
            let spec = spec(keys, parallelism, parallelism as u16)?;
            let fragment = Fragment::new(schema.clone(), vec![spec.into()])?;
            let morsels = bench.morsels(&schema, false, &|_| Values::Few)?;
            bench.check(&fragment, &morsels, &vec![Equality::Bits; schema.fields().len()])
        });
        for data_type in payload_types() {
            cases.case(
                format!("partition/payload/{}", type_name(&data_type)),
                format!("{parallelism} tasks"),
                move |bench| {
                    let schema = schema_of(&[("key", DataType::Int32), ("payload", data_type.clone())]);
                    let schema = with_hidden(schema, &[hidden::ROW]);
                    let spec = spec(vec![0], parallelism, 128)?;
                    let fragment = Fragment::new(schema.clone(), vec![spec.into()])?;
                    let values = |i| if i == 0 { Values::Few } else { Values::Mixed };
                    let morsels = bench.morsels(&schema, false, &values)?;
                    bench.check(&fragment, &morsels, &[Equality::Bits; 3])
                },
            );
        }
        cases.case("partition/no-keys", format!("{parallelism} tasks"), move |bench| {
            let schema = Arc::new(schema_of(&[("a", DataType::Int32)]));
            let fragment = Fragment::new(schema.clone(), vec![spec(vec![], parallelism, 128)?.into()])?;
            let morsels = bench.morsels(&schema, false, &|_| Values::Tame)?;
            bench.check(&fragment, &morsels, &[])
        });
        cases.case("partition/hash-given", format!("{parallelism} tasks"), move |bench| {
            let schema = with_hidden(schema_of(&[("a", DataType::Int32)]), &[hidden::HASH]);
            let fragment = Fragment::new(schema.clone(), vec![spec(vec![0], parallelism, 97)?.into()])?;
            let mut morsels = Vec::new();
            for morsel in bench.morsels(&schema, false, &|_| Values::Few)? {
                // Hashes that are not those of the key: whoever hashes again sends rows elsewhere.
                let hashes: Vec<u64> = (0..morsel.rows()).map(|_| bench.rng.random()).collect();
                let key = morsel.to_host()?.column(0).clone();
                let hashes: ArrayRef = Arc::new(UInt64Array::from(hashes));
                let given = Morsel::new(RecordBatch::try_new(schema.clone(), vec![key, hashes])?);
                morsels.push(match morsel.selection() {
                    Some(selection) => given.with_selection(selection.clone())?,
                    None => given,
                });
            }
            bench.check(&fragment, &morsels, &[])
        });
        cases.case("partition/row-kinds", format!("{parallelism} tasks"), move |bench| {
            let schema = schema_of(&[("key", DataType::Int16), ("value", DataType::Utf8)]);
            let schema = with_hidden(schema, &[hidden::ROW]);
            let fragment = Fragment::new(schema.clone(), vec![spec(vec![0], parallelism, 128)?.into()])?;
            let morsels = bench.morsels(&schema, true, &|_| Values::Few)?;
            bench.check(&fragment, &morsels, &[])
        });
    }
}

fn spec(
    keys: Vec<usize>,
    parallelism: u32,
    groups: u16,
) -> Result<PartitionSpec, sabot_common::KeyGroupsError> {
    Ok(PartitionSpec { keys, seed: 0x5ab0_7000_0000_0007, key_groups: KeyGroups::new(groups)?, parallelism })
}
