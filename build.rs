//! Links the program without position independence: its tables of addresses
//! are then the same in every process and shared, where relocating them would
//! cost each shim megabytes of memory of its own. Addresses of stack, heap and
//! libraries stay random.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-no-pie");
}
