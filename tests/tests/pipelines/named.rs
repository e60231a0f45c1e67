//! Each named pipeline in every setting.

use crate::everywhere::everywhere;
use crate::plans;

#[test]
fn stateless_chain() {
    everywhere(plans::stateless);
}

#[test]
fn window() {
    everywhere(plans::window);
}

#[test]
fn overlapping_windows() {
    everywhere(plans::overlapping);
}

#[test]
fn sessions() {
    everywhere(plans::sessions);
}

#[test]
fn windows_by_count() {
    everywhere(plans::counted);
}

#[test]
fn two_windows_from_one_fork() {
    everywhere(plans::fork);
}

#[test]
fn union_of_uneven_sources() {
    everywhere(plans::union);
}

#[test]
fn two_exchanges_in_a_row() {
    everywhere(plans::exchanges);
}

#[test]
fn two_sinks() {
    everywhere(plans::sinks);
}

#[test]
fn user_functions() {
    everywhere(plans::functions);
}

#[test]
fn group_by_without_windows() {
    everywhere(plans::global);
}

#[test]
fn float_sums_stay_within_their_bound() {
    everywhere(plans::float_sums);
}

#[test]
fn a_diamond_keeps_its_order() {
    everywhere(plans::diamond);
}

#[test]
fn keys_of_many_types() {
    everywhere(plans::keys);
}

#[test]
fn event_times_of_every_type() {
    everywhere(plans::times);
}

#[test]
fn payload_of_every_type() {
    everywhere(plans::payload);
}

#[test]
fn keys_of_every_type() {
    everywhere(plans::nested_keys);
}

#[test]
fn aggregates_of_every_family() {
    everywhere(plans::aggregates);
}

#[test]
fn ordered_aggregates_over_copies_and_results() {
    everywhere(plans::ordered);
}
