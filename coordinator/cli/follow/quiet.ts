/**
 * The items of a source, and `'quiet'` whenever none has come for `ms`. The item that is awaited meanwhile is not lost:
 * it is the same promise that goes on being awaited.
 */
export async function* withQuiet<T>(source: AsyncIterable<T>, ms: number): AsyncIterable<T | 'quiet'> {
  const iterator = source[Symbol.asyncIterator]();
  let awaited: Promise<IteratorResult<T>> | undefined;
  try {
    for (;;) {
      awaited ??= iterator.next();
      const first = await firstOf(awaited, ms);
      if (first === 'quiet') {
        yield first;
        continue;
      }
      awaited = undefined;
      if (first.done === true) return;
      yield first.value;
    }
  } finally {
    if (awaited === undefined) await iterator.return?.();
    // Otherwise the source is in the middle of an item and would only return after it; its error is nobody's any more.
    else awaited.catch(() => undefined);
  }
}

async function firstOf<T>(item: Promise<T>, ms: number): Promise<T | 'quiet'> {
  let timer: NodeJS.Timeout | undefined;
  const quiet = new Promise<'quiet'>((resolve) => {
    timer = setTimeout(() => resolve('quiet'), ms);
  });
  try {
    return await Promise.race([item, quiet]);
  } finally {
    clearTimeout(timer);
  }
}
