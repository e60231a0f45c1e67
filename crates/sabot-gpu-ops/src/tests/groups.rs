//! Group-bys with few groups and many.

use crate::testing::{check_group_bys, check_measured};
use crate::{FakeDevice, Script};

#[test]
fn random_group_bys_are_those_of_the_reference() {
    let device = || FakeDevice::new(Script::default());
    let few = check_group_bys(device(), 100, 300, 5).unwrap();
    assert!(few.groups > 1_000 && few.late > 100 && few.grown == 0, "{few:?}");
    // More than are fetched with the first answer, and than the first table holds.
    let many = check_group_bys(device(), 20, 20_000, 6).unwrap();
    assert!(many.groups > 50_000 && many.grown > 3, "{many:?}");
}

#[test]
fn every_kernel_that_is_measured_runs() {
    let device = FakeDevice::new(Script::default());
    let times = crate::measure_kernels(&*device, 3_000).unwrap();
    check_measured(&*device, 3_000).unwrap();
    assert_eq!(times.len(), 8);
    assert!(times.iter().all(|time| time.rows_per_s() > 0.0 && time.bytes_per_s() > 0.0), "{times:?}");
}
