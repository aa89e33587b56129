// One START_REPLICATION and what comes of it: WAL, keepalives, and at the end of a historic timeline the next one.
// Manual: protocol-replication, START_REPLICATION (physical).

import { AppError } from '@varve/base';
import type { PgConnection } from '../connection/connection.ts';
import type { Exchange } from '../connection/exchange.ts';
import { formatLsn, parseLsn, type Lsn } from '../lsn.ts';
import { checkTimeline, type WalPosition } from '../wal/segments.ts';
import type { BackendMessage } from '../wire/backend-messages.ts';
import {
  decodeReplicationMessage,
  encodeStandbyStatus,
  type ReplicationMessage,
  type StandbyStatus,
} from './replication-messages.ts';

/** The server has no more on this timeline: it goes on at `next`, or, without it, the server is shutting down. */
export interface StreamEnd {
  readonly kind: 'end';
  readonly next: WalPosition | undefined;
}

export interface WalStreamOptions {
  readonly slot?: string | undefined;
  readonly start: WalPosition;
  /** Hangs up when nothing comes for this long while the reader waits. */
  readonly stallTimeoutMs: number;
}

/** Pull with `poll` and `next`; answer with `sendStatus`. Whoever opened the connection closes it. */
export class WalStream {
  readonly #exchange: Exchange;
  #isCopying = false;
  #next: WalPosition | undefined;

  private constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /**
   * Starts streaming; resolves when WAL flows or the server says that the timeline has nothing from `start` on. Throws what
   * the server answers (DATABASE_QUERY_FAILED with `context.sqlState`).
   */
  static async start(connection: PgConnection, options: WalStreamOptions): Promise<WalStream> {
    const { slot, start, stallTimeoutMs } = options;
    const from = slot === undefined ? '' : `SLOT "${slot}" `;
    const command = `START_REPLICATION ${from}PHYSICAL ${formatLsn(start.lsn)} TIMELINE ${start.timeline}`;
    const stream = new WalStream(connection.exchange(command, { stallTimeoutMs }));
    const first = await stream.#exchange.next();
    if (first?.type === 'copy-both') stream.#isCopying = true;
    else if (first) stream.#note(first);
    return stream;
  }

  /** A message that is here already, or undefined: then ask {@link WalStream.next}. */
  poll(): ReplicationMessage | undefined {
    while (this.#isCopying) {
      const message = this.#exchange.poll();
      if (!message) return undefined;
      if (message.type === 'copy-data') return decodeReplicationMessage(message.data);
      this.#leaveCopy(message);
    }
    return undefined;
  }

  /** The next message, or how the stream ended. Throws the server's error, DATABASE_UNREACHABLE when the connection ends. */
  async next(): Promise<ReplicationMessage | StreamEnd> {
    while (this.#isCopying) {
      const message = await this.#exchange.next();
      if (message?.type === 'copy-data') return decodeReplicationMessage(message.data);
      if (message) this.#leaveCopy(message);
      else return { kind: 'end', next: undefined };
    }
    for (let message = await this.#exchange.next(); message; message = await this.#exchange.next()) this.#note(message);
    return { kind: 'end', next: this.#next };
  }

  /** Tells the server how far we are. */
  sendStatus(status: StandbyStatus): void {
    this.#exchange.sendCopyData(encodeStandbyStatus(status));
  }

  /** CopyDone: the end of a timeline, which we confirm. CommandComplete without it: the server is shutting down. */
  #leaveCopy(message: BackendMessage): void {
    this.#isCopying = false;
    if (message.type === 'copy-done') this.#exchange.endCopy();
    else if (message.type !== 'command-complete') throw unexpected(message);
  }

  /** After the stream: one row with the next timeline and its first position, then completions. */
  #note(message: BackendMessage): void {
    if (message.type === 'data-row') this.#next = positionOf(message.values);
    else if (message.type !== 'row-description' && message.type !== 'command-complete') throw unexpected(message);
  }
}

function positionOf(values: readonly (Uint8Array | null)[]): WalPosition {
  const [timeline, lsn] = values.map((value) => (value === null ? '' : Buffer.from(value).toString('latin1')));
  return { timeline: checkTimeline(Number(timeline)), lsn: parseLsn(lsn ?? '') };
}

function unexpected(message: BackendMessage): AppError {
  return new AppError('DATABASE_PROTOCOL', `The server sent “${message.type}” in the middle of a WAL stream.`);
}

/** `3/4F0000A8 on timeline 2`, for messages. */
export function describePosition({ timeline, lsn }: { readonly timeline: number; readonly lsn: Lsn }): string {
  return `${formatLsn(lsn)} on timeline ${timeline}`;
}
