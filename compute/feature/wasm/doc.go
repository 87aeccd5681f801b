// Package wasm runs the WebAssembly modules of feature pipelines. Importing it registers the
// runtime with package feature; the hub and the full build of the agent do, the lean agent does
// not.
//
// # Isolation
//
// A module is a pure function of the numbers it is given, and this package sees to it whatever
// the module does:
//
//   - It imports nothing, not even WASI: there is no clock, no randomness, no file and no log to
//     reach for. Memory is limited to [MaxPages], tables, functions, loops and locals as the page
//     of the format lists.
//   - It is stopped after [MaxSteps] steps, not after a time: whether a busy box had a slow
//     moment must not decide what a feature is. The code is rewritten so that functions and loops
//     count what they cost and trap when it is used up.
//   - Every call starts from the state that instantiation left. Functions that write nothing,
//     found by following their calls, run in place; before any other the memory and the globals
//     are put back.
//   - Floating-point arithmetic is IEEE 754 and rounds the same everywhere. The one thing that
//     WebAssembly leaves open, the bits of a NaN, is settled where a module could look at them:
//     every NaN that is stored or reinterpreted has the bits 0x7ff8000000000000.
//
// It runs on wazero's interpreter everywhere, the hub included. Its compiler needs memory that is
// writable and executable, which the units of systemd refuse, exists on two architectures only,
// and has another limit for recursion; one behaviour is worth more than its speed.
//
// # Cost
//
// A call of a function that multiplies two numbers takes 0.4 µs on a server's core and an
// instruction 10 to 20 ns. A function that writes costs the copy of its memory besides: 7 µs for
// the 128 KiB that a C compiler requests, 75 µs for the 1 MiB of stack that Rust's does, unless
// the linker is given less. BenchmarkCall measures both. A runtime holds the memory of each
// module twice, and about 100 bytes for each instruction; it needs no closing. A call allocates
// up to 48 bytes.
package wasm
