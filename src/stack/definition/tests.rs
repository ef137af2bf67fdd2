//! Fields are what the user wrote, and nothing secret.

use super::*;

#[test]
fn differences_name_what_came_went_and_changed() {
    let of = |pairs: &[(&str, &str)]| {
        Definition(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    };
    let from = of(&[("cpus", "1"), ("image", "a"), ("user", "me")]);
    let to = of(&[("command", "[\"x\"]"), ("cpus", "2"), ("image", "a")]);
    let named: Vec<String> = differences(&from, &to).into_iter().map(|it| it.field).collect();
    assert_eq!(named, ["command", "cpus", "user"]);
}

#[test]
fn a_field_nobody_knows_costs_the_most() {
    assert_eq!(class(Kind::Container, "from_the_future"), ChangeClass::Recreate);
    assert_eq!(class(Kind::Vm, "from_the_future"), ChangeClass::Restart);
}

#[test]
fn limits_of_a_container_change_in_place_and_memory_of_a_vm_restarts_it() {
    assert_eq!(class(Kind::Container, "mem_limit"), ChangeClass::InPlace);
    assert_eq!(class(Kind::Vm, "memory"), ChangeClass::Restart);
    assert_eq!(class(Kind::Vm, "image"), ChangeClass::Recreate);
    assert_eq!(class(Kind::Container, "environment.CACHE"), ChangeClass::Recreate);
}

#[test]
fn sizes_read_as_they_are_written() {
    assert_eq!(fields::bytes(2 << 30), "2GiB");
    assert_eq!(fields::bytes(1_500_000), "1500000");
    assert_eq!(fields::cpus(500), "0.5");
    assert_eq!(fields::cpus(2000), "2");
}
