//! What there is to run on: `cargo run --release -p sabot --features wgpu --example devices`.
#![allow(clippy::print_stdout, reason = "it is what the program is for")]

fn main() {
    for device in sabot::list_devices() {
        println!("{device}");
    }
}
