// Entry of a lane's thread when running from source: threads do not take over the process's TypeScript loader.
import { register } from "tsx/esm/api";

register();
await import("./worker.ts");
