//! Inputs that nobody would send, made up for whatever reads what strangers wrote.
//!
//! Each reader has a folder of strange inputs in `corpus/`. All of them are tried as they are, and then bent: bits turned,
//! pieces cut out, repeated, taken from one another, and words put in that readers stumble over. Where one is found that a
//! reader does not stand, it is shown as small as it can be made, and belongs into the folder.
//!
//! A few seconds by default. `HOOKIT_FUZZ_SECONDS=600` gives each reader ten minutes, with other inputs each time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod heads;
mod inputs;
mod readers;
mod servers;
