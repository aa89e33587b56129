// Captures the WAL of a cluster into a spool until told to stop: through lost connections, restarts, promotions, changed
// passwords, full disks. Only what is durable in the spool is acknowledged. What cannot be healed here (WAL that is gone, another
// history) ends it with an error after an event; it is never passed over silently.
// Manual: protocol-replication; pg_receivewal for what users expect of such a program.

import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { AppError, isAppError, sleep, systemErrorCode, throwIfAborted } from '@varve/base';
import { connectPostgres, type ConnectOptions, type PgConnection } from '../connection/connection.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import { historyFileName, type WalPosition } from '../wal/segments.ts';
import { identifyWalSource, readTimelineHistory, type WalSource } from './cluster.ts';
import {
  assertSlotUsable,
  checkSlotName,
  createPhysicalSlot,
  dropSlot,
  missingSlot,
  readSlot,
  slotError,
  type SlotFacts,
} from './slots.ts';
import { writeDurably } from './spool/durable-files.ts';
import type { WalSpool } from './spool/wal-spool.ts';
import { untilAborted } from './until-aborted.ts';
import type { WalEvent } from './wal-events.ts';
import { assertSameCluster, assertSameHistory, firstPosition } from './wal-start.ts';
import { defaultStatusIntervalMs, StreamSession } from './stream-session.ts';
import { describePosition, WalStream, type StreamEnd } from './wal-stream.ts';

export interface ReceiveWalOptions {
  /** Where to connect; asked for before every connection, so that a new password or address is found. */
  readonly location: () => ConnectOptions | Promise<ConnectOptions>;
  /** Opened and closed by the caller. One receiver at a time. */
  readonly spool: WalSpool;
  /** Name of a physical slot. Without one the server may remove WAL that we still need. */
  readonly slot?: string | undefined;
  /** Makes the slot when it is not there, and in place of one that was lost. */
  readonly createSlot?: boolean | undefined;
  /** After a gap: goes on with what the server still has, in place of ending with WAL_GAP. */
  readonly continueAfterGap?: boolean | undefined;
  /** Ends when everything before this position is durable. */
  readonly until?: Lsn | undefined;
  /** Longest time between two messages to the server. Default 10 s; wal_sender_timeout is 60 s by default. */
  readonly statusIntervalMs?: number | undefined;
  /** Acknowledges every group at once, for a primary that waits for us (synchronous_standby_names). */
  readonly synchronous?: boolean | undefined;
  /** Gives a connection up that was silent for so long, although we asked for an answer; at least three status intervals. Default 30 s. */
  readonly stallTimeoutMs?: number | undefined;
  /** Pause before the first reconnect (doubles up to `maxDelayMs`). Defaults 0.5 s and 30 s. */
  readonly firstDelayMs?: number | undefined;
  readonly maxDelayMs?: number | undefined;
  readonly onEvent?: ((event: WalEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Number in [0,1) for the jitter of pauses. */
  readonly random?: (() => number) | undefined;
}

const defaultStallTimeoutMs = 30_000;
const defaultFirstDelayMs = 500;
const defaultMaxDelayMs = 30_000;
const applicationName = 'varve_wal';
/** undefined_file: the segment that was asked for is not there any more. */
const removedWalState = '58P01';

/**
 * Receives WAL until the signal aborts (rejects with CANCELLED; nothing is written afterwards) or `until` is durable. Throws
 * WAL_GAP, WAL_DIVERGED, WAL_SLOT_UNUSABLE, WAL_INVALID, WAL_SPOOL_FAILED, and at the first connection what
 * {@link connectPostgres} throws; later losses of the connection are events.
 */
export async function receiveWal(options: ReceiveWalOptions): Promise<void> {
  if (options.slot !== undefined) checkSlotName(options.slot);
  const receiver = new Receiver(options);
  try {
    await receiver.run();
  } finally {
    options.spool.listen(undefined);
  }
}

class Receiver {
  readonly #options: ReceiveWalOptions;
  readonly #spool: WalSpool;
  readonly #session: StreamSession;
  #hasStreamed = false;
  /** WAL was found to be gone, and the next connection is to go on behind the gap. */
  #goneError: AppError | undefined;
  #failures = 0;

  constructor(options: ReceiveWalOptions) {
    this.#options = options;
    this.#spool = options.spool;
    this.#session = new StreamSession(options);
  }

  async run(): Promise<void> {
    const { signal, firstDelayMs = defaultFirstDelayMs, maxDelayMs = defaultMaxDelayMs } = this.#options;
    const random = this.#options.random ?? Math.random;
    for (;;) {
      throwIfAborted(signal);
      try {
        await this.#connectAndStream();
        return;
      } catch (error) {
        throwIfAborted(signal);
        if (this.#spool.failure) throw this.#spool.failure;
        if (!isAppError(error) || !this.#isWorthRetrying(error)) throw error;
        if (this.#session.takeHasReceived()) this.#failures = 0;
        const ceiling = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(this.#failures++, 20));
        const delayMs = Math.round(ceiling * (0.5 + random() / 2));
        this.#emit({ kind: 'reconnecting', error, attempt: this.#failures, delayMs });
        await sleep(delayMs, { signal });
      }
    }
  }

  /** A server that had let us in will again: its password is being changed, its container made anew. */
  #isWorthRetrying(error: AppError): boolean {
    return error.retry || (this.#hasStreamed && error.code.startsWith('DATABASE_'));
  }

  async #connectAndStream(): Promise<void> {
    const { signal, statusIntervalMs = defaultStatusIntervalMs } = this.#options;
    const stallTimeoutMs = Math.max(this.#options.stallTimeoutMs ?? defaultStallTimeoutMs, 3 * statusIntervalMs);
    const location = await this.#locate();
    await using connection = await connectPostgres({ applicationName, ...location, replication: 'database', signal });
    const hangUp = (): void => void connection.close();
    signal?.addEventListener('abort', hangUp, { once: true });
    // For the commands before WAL flows; the stream has a watch of its own.
    const setUpTimer = setTimeout(hangUp, 2 * stallTimeoutMs);
    try {
      const source = await identifyWalSource(connection);
      let start = await this.#findStart(connection, source);
      for (;;) {
        const from = start;
        const onStart = (): void => {
          clearTimeout(setUpTimer);
          this.#emit({ kind: 'streaming', start: from, source });
        };
        const end = await this.#stream(connection, from, { stallTimeoutMs, hangUp, onStart });
        if (end === 'reached') return;
        if (!end.next) throw shuttingDown(connection);
        start = await this.#changeTimeline(connection, from.timeline, end.next);
      }
    } finally {
      clearTimeout(setUpTimer);
      signal?.removeEventListener('abort', hangUp);
    }
  }

  /** Streams one timeline from a position to its end. Only here does a missing file mean WAL that is gone. */
  async #stream(
    connection: PgConnection,
    start: WalPosition,
    options: { readonly stallTimeoutMs: number; readonly hangUp: () => void; readonly onStart: () => void },
  ): Promise<StreamEnd | 'reached'> {
    const { stallTimeoutMs, hangUp, onStart } = options;
    try {
      const stream = await WalStream.start(connection, { slot: this.#options.slot, start, stallTimeoutMs });
      this.#hasStreamed = true;
      onStart();
      return await this.#session.run(stream, { timeline: start.timeline, hangUp });
    } catch (error) {
      throw await this.#explain(connection, error);
    }
  }

  async #locate(): Promise<ConnectOptions> {
    try {
      return await this.#options.location();
    } catch (error) {
      if (!this.#hasStreamed || !isAppError(error)) throw error;
      // It was right before: somebody is changing it just now.
      throw new AppError('DATABASE_UNREACHABLE', error.message, { retry: true, cause: error, ...hintOf(error) });
    }
  }

  /** Checks that it is the same cluster on the same history, and finds the segment to start with. */
  async #findStart(connection: PgConnection, source: WalSource): Promise<WalPosition> {
    const { state } = this.#spool;
    if (state) assertSameCluster(state, source, connection.server.address);
    const end = await this.#spool.end();
    if (end) await assertSameHistory(connection, source, end);
    const slot = await this.#prepareSlot(connection, end);
    const kept = slot?.restartLsn;
    const isOurs = end !== undefined && kept !== undefined && kept <= end.lsn;
    this.#session.noteServer({ end: source.flushLsn, acknowledged: isOurs ? kept : undefined });
    const skipped = this.#goneError ? await this.#skipGap(connection, source, slot) : undefined;
    const start =
      skipped ??
      (end
        ? await untilAborted(this.#spool.resume(slot?.restartLsn), this.#options.signal)
        : await this.#spool.begin(source, await firstPosition(connection, source, slot?.restartLsn)));
    await this.#keepHistory(connection, start.timeline);
    return start;
  }

  /** The slot, made or remade where that is wanted. Throws WAL_SLOT_UNUSABLE, after a gap event when WAL was captured before. */
  async #prepareSlot(connection: PgConnection, end: WalPosition | undefined): Promise<SlotFacts | undefined> {
    const { slot: name, createSlot = false } = this.#options;
    if (name === undefined) return undefined;
    const found = await readSlot(connection, name);
    const isLost = found?.walStatus === 'lost' && found.isPhysical;
    if (createSlot && (!found || isLost)) {
      if (isLost) await dropSlot(connection, name);
      const slot = await createPhysicalSlot(connection, name);
      this.#emit({ kind: 'slot', slot, isNew: true });
      return slot;
    }
    try {
      if (!found) throw missingSlot(name);
      assertSlotUsable(found);
    } catch (error) {
      if (end && isAppError(error) && !error.retry && (!found || isLost)) {
        this.#emit({ kind: 'gap', reason: found ? 'slot-lost' : 'slot-missing', from: end, to: undefined, error });
      }
      throw error;
    }
    this.#emit({ kind: 'slot', slot: found, isNew: false });
    return found;
  }

  /** After WAL was found to be gone: goes on with the oldest that the slot keeps, or with what is written now. */
  async #skipGap(connection: PgConnection, source: WalSource, slot: SlotFacts | undefined): Promise<WalPosition> {
    const from = await this.#spool.end();
    const gone = this.#goneError;
    const kept = slot?.restartLsn;
    const lsn = kept !== undefined && from !== undefined && kept > from.lsn ? kept : source.flushLsn;
    const to = await firstPosition(connection, source, lsn);
    this.#goneError = undefined;
    if (from && gone) this.#emit({ kind: 'gap', reason: 'wal-removed', from, to, error: gone });
    return this.#spool.begin(source, to);
  }

  /** WAL that is gone from the server becomes WAL_GAP; with `continueAfterGap` the next connection skips it. */
  async #explain(connection: PgConnection, error: unknown): Promise<unknown> {
    const { slot, continueAfterGap = false } = this.#options;
    const explained = slot === undefined ? error : slotError(error, { name: slot, connection });
    if (!isAppError(explained) || explained.context['sqlState'] !== removedWalState) return explained;
    const from = await this.#spool.end();
    const gone = removedWal(connection, from, explained);
    if (continueAfterGap && !this.#goneError) {
      this.#goneError = gone;
      return new AppError('DATABASE_UNREACHABLE', gone.message, { retry: true, cause: gone });
    }
    if (from) this.#emit({ kind: 'gap', reason: 'wal-removed', from, to: undefined, error: gone });
    return gone;
  }

  /** The old timeline's tail stays; the history file of the new one is kept before anything else is. */
  async #changeTimeline(connection: PgConnection, from: number, next: WalPosition): Promise<WalPosition> {
    const { received } = this.#spool;
    if (received === undefined || received < next.lsn) {
      throw new AppError(
        'DATABASE_PROTOCOL',
        `The server ended timeline ${from} at ${formatLsn(next.lsn)}, but sent WAL only up to ${formatLsn(received ?? next.lsn)}.`,
        { retry: true },
      );
    }
    await untilAborted(this.#spool.sync(), this.#options.signal);
    const oldEnd = (await this.#spool.end())?.lsn ?? received;
    const historyPath = await this.#keepHistory(connection, next.timeline);
    const start = await this.#spool.switchTimeline(next);
    this.#emit({ kind: 'timeline', from, to: next.timeline, lsn: next.lsn, oldEnd, historyPath: historyPath ?? '' });
    return start;
  }

  /** Stores a timeline's history byte for byte. Throws WAL_DIVERGED when another one is there. */
  async #keepHistory(connection: PgConnection, timeline: number): Promise<string | undefined> {
    if (timeline === 1) return undefined;
    const path = join(this.#spool.folder, historyFileName(timeline));
    const content = await readTimelineHistory(connection, timeline);
    const existing = await readFile(path).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (!existing) await writeDurably(path, content);
    else if (!existing.equals(content)) {
      throw new AppError('WAL_DIVERGED', `The server has another history of timeline ${timeline} than ${path}.`, {
        hint: 'Two servers were promoted from the same past. Capture this one into a spool folder of its own.',
      });
    }
    return path;
  }

  #emit(event: WalEvent): void {
    this.#options.onEvent?.(event);
  }
}

function removedWal(connection: PgConnection, from: WalPosition | undefined, cause: AppError | undefined): AppError {
  const where = from ? `after ${describePosition(from)}` : 'that its slot should keep';
  return new AppError('WAL_GAP', `PostgreSQL at ${connection.server.address} has removed WAL ${where}.`, {
    hint: 'What was written in between cannot be restored to. Make a base backup, and capture on from there with a slot that keeps WAL.',
    context: from ? { timeline: from.timeline, lsn: formatLsn(from.lsn) } : {},
    cause,
  });
}

function hintOf({ hint }: AppError): { readonly hint?: string } {
  return hint === undefined ? {} : { hint };
}

function shuttingDown(connection: PgConnection): AppError {
  return new AppError('DATABASE_UNREACHABLE', `PostgreSQL at ${connection.server.address} is shutting down.`, {
    retry: true,
  });
}
