// The stream of one connection into the spool, and the status updates back. What it knows about the server's end and about
// what was acknowledged outlives the connection, so that the lag goes on growing while there is none.

import { throwIfAborted } from '@varve/base';
import { lsnFromBigInt, type Lsn } from '../lsn.ts';
import { untilAborted } from './until-aborted.ts';
import type { ReplicationMessage } from './replication-messages.ts';
import type { WalSpool } from './spool/wal-spool.ts';
import type { WalEvent, WalProgress } from './wal-events.ts';
import type { StreamEnd, WalStream } from './wal-stream.ts';

export interface StreamSessionOptions {
  readonly spool: WalSpool;
  readonly until?: Lsn | undefined;
  readonly statusIntervalMs?: number | undefined;
  readonly synchronous?: boolean | undefined;
  readonly onEvent?: ((event: WalEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface StreamRunOptions {
  readonly timeline: number;
  /** Closes the connection, which ends the run. */
  readonly hangUp: () => void;
}

export const defaultStatusIntervalMs = 10_000;
/** What became durable is acknowledged, and progress told, within this time, however often groups are written. */
const acknowledgeMs = 1000;
const nowhere = lsnFromBigInt(0n);

export class StreamSession {
  readonly #options: StreamSessionOptions;
  readonly #spool: WalSpool;
  #stream: WalStream | undefined;
  #timeline = 0;
  #serverEnd = nowhere;
  #acknowledged = nowhere;
  #caughtUpAtMs = performance.now();
  #statusAtMs = 0;
  #ackTimer: NodeJS.Timeout | undefined;
  /** The server waits for news of what is durable (it is shutting down, or close to giving us up). */
  #isReplyOwed = false;
  #isSilent = false;
  #hasReceived = false;

  constructor(options: StreamSessionOptions) {
    this.#options = options;
    this.#spool = options.spool;
  }

  /** Whether anything came from a server since this was asked last. */
  takeHasReceived(): boolean {
    const hasReceived = this.#hasReceived;
    this.#hasReceived = false;
    return hasReceived;
  }

  /** What the server said about itself before streaming. `acknowledged`: reported to it as durable by an earlier run. */
  noteServer(facts: { readonly end: Lsn; readonly acknowledged: Lsn | undefined }): void {
    this.#noteServerEnd(facts.end);
    if (facts.acknowledged !== undefined && facts.acknowledged > this.#acknowledged) {
      this.#acknowledged = facts.acknowledged;
    }
  }

  /**
   * Moves WAL from the stream into the spool until the stream ends, or what `until` names is durable. Throws what the stream, the
   * spool or the signal end with.
   */
  async run(stream: WalStream, options: StreamRunOptions): Promise<StreamEnd | 'reached'> {
    this.#stream = stream;
    this.#timeline = options.timeline;
    this.#isReplyOwed = false;
    let isReached = false;
    const reach = (): void => {
      const { until } = this.#options;
      const durable = this.#spool.durable;
      if (until === undefined || durable === undefined || durable < until) return;
      isReached = true;
      options.hangUp();
    };
    this.#spool.listen({
      onDurable: () => {
        this.#onDurable();
        reach();
      },
      onSegment: (segment) => this.#emit({ kind: 'segment-complete', segment }),
      onBlocked: (block) => this.#emit({ kind: 'blocked', block }),
      onUnblocked: () => this.#emit({ kind: 'unblocked' }),
      onFailure: options.hangUp,
    });
    const interval = this.#options.statusIntervalMs ?? defaultStatusIntervalMs;
    const timer = setInterval(() => this.#onInterval(), interval);
    try {
      this.#tell(false);
      reach();
      return await this.#pump(stream);
    } catch (error) {
      if (isReached) return 'reached';
      throw error;
    } finally {
      clearInterval(timer);
      clearTimeout(this.#ackTimer);
      this.#ackTimer = undefined;
      this.#stream = undefined;
      this.#reportProgress();
    }
  }

  async #pump(stream: WalStream): Promise<StreamEnd> {
    const { signal } = this.#options;
    for (;;) {
      const message = stream.poll() ?? (await stream.next());
      throwIfAborted(signal);
      if (message.kind === 'end') return message;
      const wait = this.#take(message);
      if (wait) await untilAborted(wait, signal);
    }
  }

  #take(message: ReplicationMessage): Promise<void> | undefined {
    this.#hasReceived = true;
    this.#isSilent = false;
    if (message.kind === 'data') {
      const wait = this.#spool.append(message.lsn, message.bytes);
      this.#noteServerEnd(message.serverEnd);
      return wait;
    }
    this.#noteServerEnd(message.serverEnd);
    if (message.isReplyWanted) {
      this.#isReplyOwed = this.#spool.durable !== this.#spool.received;
      this.#spool.hurry();
      this.#sendStatus(false);
    }
    return undefined;
  }

  #noteServerEnd(end: Lsn): void {
    const wasCaughtUp = this.#isCaughtUp;
    if (wasCaughtUp) this.#caughtUpAtMs = performance.now();
    // A standby that was promoted has less than its primary had.
    this.#serverEnd = end;
    if (this.#isCaughtUp) this.#caughtUpAtMs = performance.now();
  }

  get #isCaughtUp(): boolean {
    const { durable } = this.#spool;
    return durable !== undefined && durable >= this.#serverEnd;
  }

  #onDurable(): void {
    const nowMs = performance.now();
    if (this.#isCaughtUp) this.#caughtUpAtMs = nowMs;
    if (!this.#stream) return;
    const isAnswer = this.#isReplyOwed && this.#spool.durable === this.#spool.received;
    if (isAnswer) this.#isReplyOwed = false;
    if (this.#options.synchronous || isAnswer) this.#sendStatus(false);
    else {
      const waitMs = Math.max(0, this.#statusAtMs + acknowledgeMs - nowMs);
      this.#ackTimer ??= setTimeout(() => this.#tell(false), waitMs);
    }
  }

  /** Asks for an answer when there was silence since the last time, so that a dead connection is noticed. */
  #onInterval(): void {
    this.#tell(this.#isSilent);
    this.#isSilent = true;
  }

  #tell(isReplyWanted: boolean): void {
    this.#sendStatus(isReplyWanted);
    this.#reportProgress();
  }

  #sendStatus(isReplyWanted: boolean): void {
    const { durable = nowhere, received = nowhere } = this.#spool;
    // While a segment is read again from its start, what was reported of it stays true; an older position would set the slot back.
    if (durable > this.#acknowledged) this.#acknowledged = durable;
    this.#statusAtMs = performance.now();
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#stream?.sendStatus({
      received: received > this.#acknowledged ? received : this.#acknowledged,
      flushed: this.#acknowledged,
      // Nobody reads here. But a primary that counts us as synchronous with remote_apply would wait for ever without this.
      applied: this.#acknowledged,
      nowMs: Date.now(),
      isReplyWanted,
    });
  }

  #reportProgress(): void {
    const progress = this.progress();
    if (progress) this.#emit({ kind: 'progress', ...progress });
  }

  /** How far we are; undefined before the first stream. */
  progress(): WalProgress | undefined {
    const { durable, received } = this.#spool;
    if (durable === undefined || received === undefined || this.#timeline === 0) return undefined;
    return {
      timeline: this.#timeline,
      received: received > durable ? received : durable,
      durable,
      serverEnd: this.#serverEnd,
      lagBytes: this.#serverEnd > durable ? Number(this.#serverEnd - durable) : 0,
      lagMs: this.#isCaughtUp && this.#stream ? 0 : Math.round(performance.now() - this.#caughtUpAtMs),
      isConnected: this.#stream !== undefined,
    };
  }

  #emit(event: WalEvent): void {
    this.#options.onEvent?.(event);
  }
}
