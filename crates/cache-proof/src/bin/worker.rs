//! A process that reads and writes through the library until it is told to stop.

fn main() {
    let order = std::env::args().nth(1).expect("the order is the argument");
    cache_proof::work(&order);
}
