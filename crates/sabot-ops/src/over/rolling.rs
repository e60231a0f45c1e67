//! Which specs can be computed while rows come in, from a bounded history of each partition.

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Schema};
use sabot_batch::key_index::canonical_type;
use sabot_batch::{hidden, key_hash};
use sabot_expr::type_name;

use super::{FrameBound, OverCall, OverFunction, OverSpec, invalid};
use crate::spec::column;
use crate::{AggregateFunction, SortKey, SpecError};

impl OverSpec {
    /// Whether the spec can be computed in event time, with rows that come one after another and no end in
    /// sight: each row has its values once all rows up to its time are there, and what is kept of a partition
    /// is what later rows can still reach.
    ///
    /// The order must be event time, ascending. Frames begin at a distance before the row or at the row, and
    /// end there as well; functions are lag, first_value, last_value, and the aggregates count,
    /// count_distinct, sum, avg, min, max, bool_and, bool_or, variance and standard deviation.
    ///
    /// # Errors
    /// [`SpecError`] that names the call, and what would be right.
    pub fn check_rolling(&self, input: &Schema) -> Result<(), SpecError> {
        self.result_fields(input)?;
        let by_time = |key: &SortKey| !key.descending && input.field(key.column).name() == hidden::TIME;
        if self.order.is_empty() {
            return invalid(
                "rows without event time have no order in which they come; say which column is event time"
                    .to_owned(),
            );
        }
        if !matches!(self.order.as_slice(), [key] if by_time(key)) {
            return invalid(
                "only the order of event time can be kept while rows come in; leave order_by out, and name \
                 columns that order rows of equal time in then_by"
                    .to_owned(),
            );
        }
        self.calls.iter().try_for_each(|call| call.check_rolling(input))
    }
}

impl OverCall {
    fn check_rolling(&self, input: &Schema) -> Result<(), SpecError> {
        let (name, function) = (&self.name, self.function.name());
        if self.function.looks_at_the_frame() {
            for (bound, word) in [(self.frame.start, "begin"), (self.frame.end, "end")] {
                if !matches!(bound, FrameBound::Preceding(_) | FrameBound::CurrentRow) {
                    return invalid(format!(
                        "\"{name}\" looks at {}, which rows that come in have no bounds for; let it {word} at a \
                         distance before the row or at the row, such as range(days(7)) or rows(100)",
                        self.frame
                    ));
                }
            }
        }
        let columns: Vec<usize> = match &self.function {
            OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank => {
                return invalid(format!(
                    "{function} as \"{name}\" counts all rows of a partition, of which there is no end; count the \
                     rows of a frame instead"
                ));
            }
            OverFunction::Lead(..) => {
                return invalid(format!(
                    "{function} as \"{name}\" waits for rows that may never come; lag looks back instead"
                ));
            }
            OverFunction::Lag(index, _)
            | OverFunction::FirstValue(index)
            | OverFunction::LastValue(index) => vec![*index],
            OverFunction::Aggregate(spec) if !can_roll(&spec.function) => {
                return invalid(format!(
                    "{} as \"{name}\" cannot be had over rows that come in; count, count_distinct, sum, avg, min, \
                     max, bool_and, bool_or, variances and standard deviations can",
                    spec.function
                ));
            }
            // What is counted need not be kept.
            OverFunction::Aggregate(spec) if spec.function == AggregateFunction::Count => Vec::new(),
            OverFunction::Aggregate(spec) => spec.arguments.iter().map(|argument| argument.column).collect(),
        };
        for index in columns {
            let data_type = column("over", input, index)?.data_type();
            if !can_be_given_back(data_type) {
                return invalid(format!(
                    "{function} as \"{name}\" cannot keep values of {}; those that can be keys it can",
                    type_name(data_type)
                ));
            }
        }
        Ok(())
    }
}

fn can_roll(function: &AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(
        function,
        F::Count
            | F::CountDistinct
            | F::Sum
            | F::Avg
            | F::Min
            | F::Max
            | F::BoolAnd
            | F::BoolOr
            | F::VarSamp
            | F::VarPop
            | F::StddevSamp
            | F::StddevPop
    )
}

/// Values are kept without their encodings, so they must be had from them and become them again.
pub(crate) fn can_be_given_back(data_type: &DataType) -> bool {
    let plain = canonical_type(data_type);
    let encodes =
        plain == *data_type || (can_cast_types(data_type, &plain) && can_cast_types(&plain, data_type));
    data_type == &DataType::Null || (key_hash::supports_key(data_type) && encodes)
}
