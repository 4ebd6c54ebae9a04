//! A process that loads keys through the library as it is told on its standard input.

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .expect("a mode and a URL are the arguments")
    };
    cache_proof::load(&next(), &next());
}
