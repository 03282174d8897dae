//! Making up inputs, and trying them.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// What readers stumble over.
const WORDS: [&str; 48] = [
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\u0022",
    "{",
    "}",
    "[",
    "]",
    "{}",
    "[[",
    ":",
    ",",
    "null",
    "true",
    "-0",
    "1e400",
    "-1",
    "0",
    "9007199254740993",
    "18446744073709551616",
    "1.5",
    "\"id\":",
    "\"orders\":",
    "\"version\":",
    "\0",
    "\r\n",
    "\n",
    "\r\n\r\n",
    "\t",
    " ",
    "é",
    "🍜",
    "\u{feff}",
    "\u{202e}",
    "%00",
    "%ff",
    "%",
    "&",
    "=",
    "+",
    "?",
    ";",
    "../",
    "Basic ",
    "Bearer ",
    "GET / HTTP/1.1",
    "T24:60:61Z",
];

/// One thing done to an input. Places are shares of its length.
#[derive(Clone, Debug)]
enum Bend {
    Turn(Index, u8),
    Set(Index, u8),
    PutIn(Index, &'static str),
    CutOut(Index, usize),
    CutOff(Index),
    Repeat(Index, usize, usize),
    /// A piece of another input of the folder.
    Graft(Index, Index, Index, usize),
}

fn bend() -> impl Strategy<Value = Bend> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Bend::Turn(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Bend::Set(at, byte)),
        (at(), select(&WORDS[..])).prop_map(|(at, word)| Bend::PutIn(at, word)),
        (at(), 1..64_usize).prop_map(|(at, length)| Bend::CutOut(at, length)),
        at().prop_map(Bend::CutOff),
        (at(), 1..32_usize, 1..200_usize).prop_map(|(at, length, times)| Bend::Repeat(at, length, times)),
        (at(), at(), at(), 1..128_usize)
            .prop_map(|(at, other, from, length)| Bend::Graft(at, other, from, length)),
    ]
}

fn bent(mut input: Vec<u8>, bends: &[Bend], corpus: &[Vec<u8>]) -> Vec<u8> {
    // One place more than there are bytes: behind the last.
    let place = |input: &[u8], at: &Index| at.index(input.len() + 1);
    let piece =
        |input: &[u8], from: usize, length: usize| input[from..input.len().min(from + length)].to_vec();
    for bend in bends {
        match bend {
            Bend::Turn(..) | Bend::Set(..) if input.is_empty() => {}
            Bend::Turn(at, bit) => {
                let at = at.index(input.len());
                input[at] ^= 1 << bit;
            }
            Bend::Set(at, byte) => {
                let at = at.index(input.len());
                input[at] = *byte;
            }
            Bend::PutIn(at, word) => {
                let at = place(&input, at);
                input.splice(at..at, word.bytes());
            }
            Bend::CutOut(at, length) => {
                let at = place(&input, at);
                input.drain(at..input.len().min(at + length));
            }
            Bend::CutOff(at) => input.truncate(place(&input, at)),
            Bend::Repeat(at, length, times) => {
                let at = place(&input, at);
                let piece = piece(&input, at, *length);
                input.splice(at..at, piece.repeat(*times));
            }
            Bend::Graft(at, other, from, length) => {
                let (at, other) = (place(&input, at), other.get(corpus));
                input.splice(at..at, piece(other, place(other, from), *length));
            }
        }
    }
    input
}

fn corpus(reader: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(reader);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{reader} has hardly anything to begin with");
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Tries the reader's folder, and so many inputs that are made of it. `check` panics at one that the reader does not stand.
pub(crate) fn fuzz(reader: &str, cases: u32, check: impl Fn(&[u8])) {
    let corpus = corpus(reader);
    for input in &corpus {
        check(input);
    }
    let seconds = env::var("HOOKIT_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|seconds| seconds.parse().expect("HOOKIT_FUZZ_SECONDS is a number of seconds"));
    let time = Duration::from_secs(seconds.unwrap_or(0));
    // The same inputs at every ordinary run: what fails fails again.
    let rng_seed = if seconds.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    let strategy = (any::<Index>(), vec(bend(), 1..8));
    #[expect(clippy::disallowed_methods, reason = "it bounds how long is tried, and decides nothing")]
    let (began, mut tried) = (Instant::now(), 0_u64);
    loop {
        let mut runner =
            TestRunner::new(Config { cases, rng_seed, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&strategy, |(first, bends)| {
            check(&bent(first.get(&corpus).clone(), &bends, &corpus));
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{reader}: {error}");
        }
        tried += u64::from(cases);
        if began.elapsed() >= time {
            break;
        }
    }
    #[expect(clippy::print_stdout, reason = "whoever asks for ten minutes wants to know how many that were")]
    {
        println!("{reader}: {tried} inputs in {} s", began.elapsed().as_secs());
    }
}
