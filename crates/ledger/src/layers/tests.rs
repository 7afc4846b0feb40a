use super::*;

const STATES: [Reading<bool>; 4] =
    [Reading::Unmeasured, Reading::NotApplicable, Reading::Is(false), Reading::Is(true)];

fn column(states: [Reading<bool>; 3], connects: bool, above: [Reading<bool>; 2]) -> Column {
    let [ping, tcp, send] = states;
    let [receive, delivery] = above;
    Column::from_evidence(&Evidence { ping, tcp, connects, send, receive, delivery })
}

/// Every combination of the five layers, with and without a connection.
fn every_column(mut check: impl FnMut([Reading<bool>; 5], bool, Column)) {
    for ping in STATES {
        for tcp in STATES {
            for send in STATES {
                for receive in STATES {
                    for delivery in STATES {
                        for connects in [false, true] {
                            let column = column([ping, tcp, send], connects, [receive, delivery]);
                            check([ping, tcp, send, receive, delivery], connects, column);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_network_is_bad_only_if_ping_and_tcp_both_fail() {
    every_column(|[ping, tcp, ..], connects, column| {
        let is_bad = column.states[0] == Reading::Is(false);
        let both_fail = ping == Reading::Is(false) && tcp == Reading::Is(false) && !connects;
        assert_eq!(is_bad, both_fail, "{ping:?} {tcp:?} {connects}");
        if ping != Reading::Is(false) {
            assert_eq!(column.states[0], ping);
        }
    });
}

#[test]
fn a_connection_clears_a_network_that_is_silent_to_ping() {
    every_column(|[ping, ..], connects, column| {
        if ping == Reading::Is(false) && connects {
            assert_eq!(column.states[0], Reading::NotApplicable);
        }
    });
}

#[test]
fn the_layers_above_stand_for_themselves() {
    every_column(|[_, above @ ..], _, column| assert_eq!(column.states[1..], above));
}

#[test]
fn the_lowest_bad_layer_is_to_blame() {
    every_column(|_, _, column| {
        let bad = |layer: Layer| column.states[layer as usize] == Reading::Is(false);
        match column.to_blame() {
            Some(layer) => {
                assert!(bad(layer));
                assert!(Layer::ALL.into_iter().filter(|below| *below < layer).all(|it| !bad(it)));
            }
            None => assert!(!Layer::ALL.into_iter().any(bad)),
        }
    });
}

#[test]
fn layers_are_named_once_and_in_order() {
    let names = Layer::ALL.map(Layer::label);
    assert_eq!(names, ["network", "tcp", "send", "receive", "delivery"]);
    assert!(Layer::ALL.is_sorted());
    for (index, layer) in Layer::ALL.into_iter().enumerate() {
        assert_eq!(layer as usize, index);
    }
}
