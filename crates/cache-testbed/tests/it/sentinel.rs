//! Sentinels name another master.

use cache_testbed::{Client, Flavor, Sentinels};

#[test]
fn sentinels_name_a_new_master_when_the_old_one_is_killed() {
    let all = Sentinels::start(Flavor::Redis7);
    let old = all.master().port();
    assert_eq!(old, all.servers()[0].port());
    all.master().kill();
    all.wait_for_other_master(old);
    assert_eq!(all.master().port(), all.servers()[1].port());
    let mut client = Client::connect(&all.master().address()).unwrap();
    client.command(&["SET", "k", "v"]).unwrap().assert_ok();
}

#[test]
fn a_failover_that_is_asked_for_swaps_the_roles() {
    for flavor in [Flavor::Redis8, Flavor::Valkey9] {
        let all = Sentinels::start(flavor);
        all.failover();
        assert_eq!(all.master().port(), all.servers()[1].port());
    }
}

#[test]
fn an_url_names_all_sentinels_and_the_service() {
    let all = Sentinels::start(Flavor::Redis7);
    let [a, b, c] = all.sentinels() else {
        panic!("not three sentinels");
    };
    let (a, b, c) = (a.address(), b.address(), c.address());
    let url = format!("redis-sentinel://{a}?node={b}&node={c}&sentinelServiceName=main");
    assert_eq!(all.url(), url);
}
