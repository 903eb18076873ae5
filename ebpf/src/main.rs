//! The eBPF programs of gmtrace: one file for each family of hooks.
//!
//! All of them ask first whether the process is one of the tree (`tree`), read the kernel's structures by offsets that were given
//! when they were loaded (`kernel`), and write records into one ring buffer (`ring`). The hooks are tracepoints of things that
//! happen, never one that runs for every system call of the machine.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod golang;
mod kernel;
mod locks;
mod processes;
mod resolver;
mod ring;
mod signals;
mod sockets;
mod transfers;
mod tree;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// What the kernel wants to see before it lets a program use helpers that are for the GPL alone.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
