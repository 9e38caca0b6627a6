//! The crate seen from outside: committed vectors, a second reader, properties.

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod gcm;
#[cfg(test)]
mod jwt;
#[cfg(test)]
mod keyring;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod published;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod vectors;
