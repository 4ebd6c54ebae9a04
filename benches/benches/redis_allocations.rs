//! What an operation of the Redis backend allocates, beside the clients.
//!
//! Apart from `redis`, as counting costs time: more to those who allocate more.

use cache_benches::alloc::{Counting, INSTRUMENTED_SYSTEM, check_counting, counted};
use cache_benches::is_trial;
use cache_benches::remote::{
    BATCH, Bulk, Contender, Fred, Operation, Ours, Payload, Record, RedisRs, Target, fill, once,
};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: Counting = &INSTRUMENTED_SYSTEM;

/// Allocations and bytes of one operation.
type Cost = (f64, f64);

/// Counts what one of many operations allocates.
fn cost<C: Contender>(
    runtime: &Runtime,
    client: &C,
    operation: Operation,
    size: usize,
    times: u32,
) -> Cost {
    let keys: Vec<String> = (0..BATCH)
        .map(|number| format!("user:{number:08}"))
        .collect();
    let value = C::Value::of_size(size);
    let repeat = async |times| {
        for _ in 0..times {
            once(client, operation, &keys, &value).await;
        }
    };
    runtime.block_on(async {
        fill(client, &keys, size).await;
        // What is allocated for good is there now.
        repeat(times / 2).await;
    });
    let ((), all) = counted(|| runtime.block_on(repeat(times)));
    let of_each = |count: usize| count as f64 / f64::from(times);
    (of_each(all.calls), of_each(all.bytes))
}

fn main() {
    check_counting();
    let times = if is_trial() { 10 } else { 2_000 };
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("there is a reactor");
    let target = Target::start();
    let (ours, fred, redis_rs) = runtime.block_on(async {
        (
            Ours::connect(&target).await,
            Fred::<Record>::connect(&target, Bulk::Pipeline).await,
            RedisRs::connect(&target).await,
        )
    });
    println!("allocations and bytes of one operation, with one task");
    println!(
        "{:<10}{:>6}{:>18}{:>18}{:>18}{:>18}",
        "", "bytes", "ours", "fred", "redis-rs", "ours less fred"
    );
    for operation in Operation::ALL {
        for size in [100, 4_096] {
            let of_ours = cost(&runtime, &ours, operation, size, times);
            let of_fred = cost(&runtime, &fred, operation, size, times);
            let of_redis_rs = cost(&runtime, &redis_rs, operation, size, times);
            let added = (of_ours.0 - of_fred.0, of_ours.1 - of_fred.1);
            print!("{:<10}{size:>6}", operation.name());
            for (calls, bytes) in [of_ours, of_fred, of_redis_rs, added] {
                print!("{calls:>8.1} /{bytes:>8.0}");
            }
            println!();
        }
    }
}
