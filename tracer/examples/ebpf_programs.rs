//! Loads the eBPF programs and prints what the kernel says of each: how many instructions it has, and how many the verifier looked
//! at (since Linux 5.16).

use gmtrace::capture::ebpf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let verified = ebpf::load()
        .map_err(|why| why.to_string())
        .and_then(|mut loaded| loaded.verified().map_err(|why| why.to_string()));
    match verified {
        Ok(programs) => {
            println!("{:<24} {:>12} {:>10}", "program", "instructions", "verified");
            for program in programs {
                let ebpf::Verified { name, instructions, looked_at } = program;
                let looked_at = looked_at.map_or("-".to_owned(), |n| n.to_string());
                println!("{name:<24} {instructions:>12} {looked_at:>10}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
