// Starts an entry point when running from source: `from-source.mjs worker.ts …`. New threads and processes do
// not take over the TypeScript loader.
import { register } from "tsx/esm/api";

register();
await import(`./${process.argv[2]}`);
