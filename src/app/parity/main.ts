/** `npm run parity -- DIR`: `posegen parity DIR`, run from source. */
process.argv.splice(2, 0, "parity");
await import("../cli/main.ts");
