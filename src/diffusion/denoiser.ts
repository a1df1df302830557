import { type KvSharingMode } from "../models/wan-dit/kv-sharing.ts";

/** Which tokens read the anchor's keys (see `KvSharingMode`). */
export type SharingMode = KvSharingMode;
