//! What is told once everything serves: where, and what to try.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;

use plantd_daemon::VERSION;
use plantd_daemon::config::LogFormat;

/// What `plant` dials when it is told nothing.
const DEFAULT_BROKER: &str = "tcp://127.0.0.1:9797";

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) broker: &'a str,
    pub(crate) broker_health: Option<SocketAddr>,
    pub(crate) service: &'a str,
    pub(crate) module_health: Option<SocketAddr>,
}

impl Welcome<'_> {
    /// Tells it on stdout: as text where the logs are text, else as a line of the log.
    pub(crate) fn show(&self, format: LogFormat) {
        let is_text = match format {
            LogFormat::Auto => io::stdout().is_terminal(),
            LogFormat::Json => false,
            LogFormat::Text => true,
        };
        // `cargo run` tells its programs so.
        let plant = match env::var_os("CARGO") {
            Some(_) => "cargo run --release -p plant --",
            None => "plant",
        };
        let commands = self.commands(plant);
        if is_text {
            // A terminal that went away has nobody before it.
            let _ = io::stdout()
                .lock()
                .write_all(self.text(&commands).as_bytes());
        } else {
            tracing::info!(
                context = "plantd.started",
                endpoint = self.broker,
                service_name = self.service,
                try_request = commands[0],
                try_services = commands[1],
                try_health = commands[2],
                "plantd serves"
            );
        }
    }

    fn text(&self, [request, services, health]: &[String; 3]) -> String {
        let Self {
            broker,
            broker_health,
            service,
            module_health,
        } = self;
        let width = broker.len().max(service.len());
        format!(
            "\n\
             plantd {VERSION} serves\n\
             \x20 broker       {broker:<width$}  {}\n\
             \x20 echo module  {service:<width$}  {}\n\
             \n\
             Try in another terminal:\n\
             \x20 {request}\n\
             \x20 {services}\n\
             \x20 {health}\n\
             \n\
             Ctrl-C drains and stops.\n\
             \n",
            Health(*broker_health),
            Health(*module_health),
        )
    }

    /// A request, a list of what is served, and a look at the health.
    fn commands(&self, plant: &str) -> [String; 3] {
        let Self {
            broker, service, ..
        } = self;
        let at = match *broker {
            DEFAULT_BROKER => String::new(),
            broker => format!(" --broker {broker}"),
        };
        let health = match self.broker_health.or(self.module_health) {
            Some(address) => format!("curl {}", url(address)),
            None => format!("{plant} ping{at}"),
        };
        [
            format!("{plant} request{at} {service} hello"),
            format!("{plant} services{at}"),
            health,
        ]
    }
}

/// Where a part's health is served.
struct Health(Option<SocketAddr>);

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "health {}", url(address)),
            None => f.write_str("no health"),
        }
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/healthz")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome(broker: &str) -> Welcome<'_> {
        Welcome {
            broker,
            broker_health: Some(([127, 0, 0, 1], 8081).into()),
            service: "org.plantd.module.Echo",
            module_health: None,
        }
    }

    #[test]
    fn the_text_has_every_endpoint_and_three_commands() {
        let welcome = welcome("tcp://127.0.0.1:9797");
        let expected = "
plantd 0.1.0 serves
  broker       tcp://127.0.0.1:9797    health http://127.0.0.1:8081/healthz
  echo module  org.plantd.module.Echo  no health

Try in another terminal:
  plant request org.plantd.module.Echo hello
  plant services
  curl http://127.0.0.1:8081/healthz

Ctrl-C drains and stops.

";
        assert_eq!(welcome.text(&welcome.commands("plant")), expected);
    }

    #[test]
    fn another_endpoint_is_named_in_the_commands() {
        let [request, services, _] = welcome("tcp://127.0.0.1:5000").commands("plant");
        assert_eq!(
            request,
            "plant request --broker tcp://127.0.0.1:5000 org.plantd.module.Echo hello"
        );
        assert_eq!(services, "plant services --broker tcp://127.0.0.1:5000");
    }
}
