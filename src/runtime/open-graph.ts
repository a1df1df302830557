import type { Graph } from "../graph/index.ts";
import type { Runner } from "./runner.ts";

/**
 * Makes a graph of a model ready to run, its parameters bound: in a lane over shared weights, or in this thread.
 * Code that needs a model's graphs takes one of these and so knows neither devices nor files.
 * @param name for messages, e.g. "text encoder"
 */
export type OpenGraph = (graph: Graph, name: string) => Promise<Runner>;
