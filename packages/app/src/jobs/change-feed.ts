// The stream of events: each subscriber reads the list of changes at its own pace, woken at once by changes of this
// process and looking once a second for those of others. Nothing is queued in memory, so a slow reader costs nothing; it
// misses intermediate states of a job, never the last one.

import type { VarveEvent } from '@varve/contract';
import { changesAfter, newestChange, type Change } from '../catalogue/changes.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { JobLog } from './job-log.ts';
import type { JobStore } from './job-store.ts';

const pollMs = 1000;
const batchSize = 200;

interface ChangeFeedOptions {
  readonly catalogue: Catalogue;
  readonly jobs: JobStore;
  readonly log: JobLog;
}

/** Only the newest of several changes of one thing matters. */
function newestOfEach(changes: readonly Change[]): Change[] {
  const newest = new Map<string, Change>();
  for (const change of changes) {
    const name = `${change.kind} ${change.key}`;
    newest.delete(name);
    newest.set(name, change);
  }
  return [...newest.values()];
}

export class ChangeFeed {
  readonly #catalogue: Catalogue;
  readonly #jobs: JobStore;
  readonly #log: JobLog;
  readonly #sleepers = new Set<() => void>();
  readonly #stopListening: () => void;
  /** Counts writes, so that one that comes between reading and waiting is not slept over. */
  #writes = 0;
  #isClosed = false;

  constructor(options: ChangeFeedOptions) {
    this.#catalogue = options.catalogue;
    this.#jobs = options.jobs;
    this.#log = options.log;
    this.#stopListening = this.#catalogue.onWrite(() => {
      this.#writes++;
      this.#wakeAll();
    });
  }

  #wakeAll(): void {
    for (const wake of this.#sleepers) wake();
  }

  /** Ends all streams. */
  close(): void {
    this.#isClosed = true;
    this.#stopListening();
    this.#wakeAll();
  }

  /** Where the stream is now; a subscription from here misses nothing that happens later. */
  position(): Promise<number> {
    return newestChange(this.#catalogue.queries);
  }

  /** Events after `from`, or from the first read on. Ends quietly when the signal aborts or the feed closes. */
  async *events(options: {
    readonly signal: AbortSignal;
    readonly from?: number | undefined;
  }): AsyncGenerator<VarveEvent> {
    const { signal } = options;
    try {
      let position = options.from ?? (await this.position());
      while (!signal.aborted && !this.#isClosed) {
        const writesBefore = this.#writes;
        const changes = await changesAfter(this.#catalogue.queries, position, batchSize);
        position = changes.at(-1)?.id ?? position;
        for (const change of newestOfEach(changes)) {
          const event = await this.#toEvent(change);
          if (signal.aborted) return;
          if (event) yield event;
        }
        if (changes.length < batchSize && this.#writes === writesBefore) await this.#wait(signal);
      }
    } catch (error) {
      // The catalogue was closed under a read that was under way.
      if (!this.#isClosed) throw error;
    }
  }

  async #toEvent(change: Change): Promise<VarveEvent | undefined> {
    switch (change.kind) {
      case 'job': {
        const job = await this.#jobs.find(change.key);
        return job && { type: 'job', job };
      }
      case 'job-log': {
        const found = await this.#log.get(Number(change.key));
        return found && { type: 'job-log', ...found };
      }
      case 'app':
        return { type: 'app', appId: change.key };
      case 'alerts':
        return { type: 'alerts' };
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, pollMs);
      signal.addEventListener('abort', wake, { once: true });
      this.#sleepers.add(wake);
    });
  }
}
