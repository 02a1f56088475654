//! The demonstration's cast: a caller and a few vendors, started and stopped together.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};
use crate::{Figures, VendorFigures};

/// A vendor of the demonstration.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name in the table.
    pub name: String,
    /// Where it listens (UDP).
    pub address: SocketAddr,
    /// What it does with calls.
    pub habit: Habit,
}

/// Caller and vendors, running.
#[derive(Debug)]
pub struct Demo {
    caller: Caller,
    vendors: Vec<(String, Vendor)>,
}

impl Demo {
    /// Starts the vendors, then the caller.
    ///
    /// # Errors
    /// An address is taken, or there is no thread to be had. What was started is stopped.
    pub fn start(caller: CallerSpec, roles: &[Role]) -> io::Result<Demo> {
        let vendors = roles
            .iter()
            .map(|role| {
                let spec = VendorSpec::new(role.address, role.habit);
                Ok((role.name.clone(), Vendor::start(spec)?))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let caller = Caller::start(caller)?;
        Ok(Demo { caller, vendors })
    }

    /// What the caller has counted so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.caller.figures()
    }

    /// What each vendor has counted so far, in the order of the roles.
    pub fn vendors(&self) -> impl Iterator<Item = (&str, VendorFigures)> {
        self.vendors
            .iter()
            .map(|(name, vendor)| (name.as_str(), vendor.figures()))
    }

    /// Hangs up all calls within `grace`, then stops everybody.
    ///
    /// # Errors
    /// The caller's socket or truth log failed while it ran.
    pub fn stop(self, grace: Duration) -> io::Result<(Figures, Vec<(String, VendorFigures)>)> {
        let figures = self.caller.stop(grace)?;
        let vendors = self
            .vendors
            .into_iter()
            .map(|(name, vendor)| (name, vendor.stop()))
            .collect();
        Ok((figures, vendors))
    }
}
