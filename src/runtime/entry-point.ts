/** Where the programs of other threads and processes lie: `<name>.js` once built, else `<name>.ts`. */
export interface EntryPoint {
  readonly url: URL;
  /** Arguments to put before the program's own. */
  readonly argv: readonly string[];
}

/** @param name of a file of this folder, without its ending */
export function entryPoint(name: string): EntryPoint {
  return import.meta.url.endsWith(".ts")
    ? { url: new URL("./from-source.mjs", import.meta.url), argv: [`${name}.ts`] }
    : { url: new URL(`./${name}.js`, import.meta.url), argv: [] };
}
