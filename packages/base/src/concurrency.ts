// Bounded parallelism: a limit has a number, a queue has an end.

/** Runs at most `limit` tasks at a time, in order of arrival. */
export class Limiter {
  readonly #limit: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs `task` when a place is free and yields its result. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }
}

/**
 * Calls `task` for every item, at most `limit` at a time; results in the order of the items. After the first failure no
 * further item is started; those under way are waited for, then the first error is thrown.
 */
export async function mapConcurrently<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  task: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let index = 0;
  for await (const item of items) {
    if (failures.length > 0) break;
    const position = index++;
    const run = task(item, position).then(
      (result) => {
        results[position] = result;
      },
      (error: unknown) => {
        failures.push(error);
      },
    );
    const tracked = run.finally(() => running.delete(tracked));
    running.add(tracked);
    if (running.size >= limit) await Promise.race(running);
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
  return results;
}
