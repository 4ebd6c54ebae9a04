//! Moments that no public call can be made to meet.

use std::sync::Arc;

use super::{Boarding, FlightTable, Lead, Outcome, Ticket};

fn lead(flights: &Arc<FlightTable>) -> Lead<u32> {
    match flights.board("key", Ticket::OUTDATED) {
        Boarding::Lead(lead) => lead,
        Boarding::Join(_) => panic!("somebody leads"),
    }
}

#[test]
fn a_writer_does_not_listen_to_a_flight_that_has_landed_while_a_later_one_stores() {
    let flights = Arc::new(FlightTable::new());
    let first = lead(&flights);
    let storing = first.store().expect("the key was not written");
    let heard = flights.detach_now("key", false).expect("it is storing");
    assert!(flights.is_storing(&heard));
    drop(storing);
    first.land(|| Outcome::Nothing);

    let second = lead(&flights);
    let storing = second.store().expect("the key was not written");
    assert!(!flights.is_storing(&heard));
    let now = flights.detach_now("key", false).expect("it is storing");
    assert!(flights.is_storing(&now));
    drop(storing);
}
