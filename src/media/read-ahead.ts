/**
 * The same values in the same order, with up to `depth` of them made before they are asked for: while the taker works
 * on one, the source works on the next ones. A source is asked for one value at a time, and its failure comes in the
 * place of the value that it did not give. When the taker stops early, the source is ended as well, once it has given
 * what it was asked for.
 */
export async function* readAhead<T>(
  source: AsyncIterable<T> | Iterable<T>,
  depth = 1,
): AsyncGenerator<T, void, undefined> {
  // A generator answers requests one after another, however many are waiting.
  const values = (async function* () {
    yield* source;
  })();
  const ahead: Promise<IteratorResult<T, void>>[] = [];
  try {
    for (;;) {
      while (ahead.length <= depth) {
        const next = values.next();
        // Whoever takes it learns of a failure; until then nobody awaits it.
        next.catch(() => {});
        ahead.push(next);
      }
      const { done, value } = await ahead.shift()!;
      if (done) return;
      yield value as T;
    }
  } finally {
    await values.return();
  }
}
