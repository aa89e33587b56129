// Log that is streamed by the server, kept there by a replication slot until it is safe here.

import { sleep } from '@varve/base';
import {
  connectPostgres,
  identifyWalSource,
  parseTimelineHistory,
  readSlot,
  readTimelineHistory,
  receiveWal,
  WalSpool,
  type ConnectOptions,
} from '@varve/postgres';
import type { CaptureStatus } from './capture-status.ts';
import type { CaptureWay } from './capture-way.ts';

export interface StreamWayOptions {
  readonly slot: string;
  readonly location: () => Promise<ConnectOptions>;
  readonly status: CaptureStatus;
}

/** After an outage the log is behind by as much as nobody has tried again. */
const longestReconnectMs = 5_000;
const slotCheckMs = 60_000;

export class StreamWay implements CaptureWay {
  readonly #options: StreamWayOptions;

  constructor(options: StreamWayOptions) {
    this.#options = options;
  }

  async receive({ spool, signal, onEvent }: Parameters<CaptureWay['receive']>[0]): Promise<void> {
    const { slot, location } = this.#options;
    const lasting = { createSlot: true, continueAfterGap: true, maxDelayMs: longestReconnectMs };
    await receiveWal({ location, spool, slot, ...lasting, signal, onEvent });
  }

  async watch(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(slotCheckMs, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        await using connection = await connectPostgres({ ...(await this.#options.location()), signal });
        const slot = await readSlot(connection, this.#options.slot, { signal });
        if (slot) this.#options.status.noteSlot(slot);
      } catch {
        // The receiver tells why the server cannot be reached.
      }
    }
  }

  /**
   * A server that was set back and promoted left our timeline at a place that is in the repository already: capturing goes on with the
   * first segment of the timeline that it went to, so that both histories stay whole.
   */
  async beginAnew(ours: number, { folder, signal }: Parameters<CaptureWay['beginAnew']>[1]): Promise<void> {
    await using connection = await connectPostgres({
      ...(await this.#options.location()),
      replication: 'database',
      signal,
    });
    const source = await identifyWalSource(connection, { signal });
    if (source.timeline <= ours) return;
    const text = Buffer.from(await readTimelineHistory(connection, source.timeline, { signal })).toString('latin1');
    const { ancestors } = parseTimelineHistory(text, source.timeline);
    const index = ancestors.findIndex(({ timeline }) => timeline === ours);
    const left = ancestors[index];
    if (!left) return;
    await using spool = await WalSpool.open({ folder });
    await spool.begin(source, { timeline: ancestors[index + 1]?.timeline ?? source.timeline, lsn: left.switchLsn });
  }

  /** The server keeps what did not come. */
  async finish(): Promise<void> {
    // Nothing is here that was not taken.
  }
}
