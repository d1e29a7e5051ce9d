//! RFC 2782: in which order the machines that offer a service are tried. Pure: the draws are an argument.

use super::resolve::Service;

/// The lowest priority first; among equals by chance, each as often first as its weight says. `draw` gives a number from 0 to its
/// argument.
pub(super) fn ordered(mut services: Vec<Service>, mut draw: impl FnMut(u32) -> u32) -> Vec<Service> {
    // Those without weight stand before their equals, so that a draw of 0 reaches them and hardly any other does.
    services.sort_by_key(|service| (service.priority, service.weight));
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(priority) = services.first().map(|service| service.priority) {
        let equals = services.iter().take_while(|service| service.priority == priority);
        let total = equals.map(|service| u32::from(service.weight)).sum();
        let chosen = draw(total);
        let mut running = 0;
        let place = services.iter().position(|service| {
            running += u32::from(service.weight);
            running >= chosen
        });
        ordered.push(services.remove(place.unwrap_or_default()));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, target: &str) -> Service {
        Service { priority, weight, port: 80, target: target.into() }
    }

    fn targets(services: &[Service]) -> Vec<&str> {
        services.iter().map(|service| service.target.as_str()).collect()
    }

    #[test]
    fn priorities_come_before_weights() {
        let services = vec![service(20, 9, "c"), service(10, 0, "b"), service(5, 1, "a")];
        assert_eq!(targets(&ordered(services, |most| most)), ["a", "b", "c"]);
    }

    #[test]
    fn weights_are_shares_of_the_draws() {
        let services = || vec![service(1, 30, "b"), service(1, 10, "a"), service(1, 60, "c")];
        let first = |drawn| {
            let mut drawn = Some(drawn);
            ordered(services(), |_| drawn.take().unwrap_or(0)).remove(0).target
        };
        let counts = ["a", "b", "c"].map(|name| (1..=100).filter(|drawn| first(*drawn) == name).count());
        assert_eq!(counts, [10, 30, 60]);
    }

    #[test]
    fn a_weight_of_zero_is_seldom_first_and_never_lost() {
        let services = || vec![service(1, 1, "b"), service(1, 0, "a")];
        assert_eq!(targets(&ordered(services(), |_| 0)), ["a", "b"]);
        assert_eq!(targets(&ordered(services(), |most| most)), ["b", "a"]);
        assert_eq!(ordered(Vec::new(), |_| 0), []);
    }
}
