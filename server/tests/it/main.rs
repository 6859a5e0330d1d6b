//! The server over real TLS, in this process.

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod healing;
#[cfg(test)]
mod http;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod snapshots;
