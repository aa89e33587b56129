// How the log of one database comes into its spool, as the capture that uses it sees it: streamed, or through a folder.

import type { WalCaptureEvent, WalSpool } from '@varve/postgres';
import type { WalCommitter } from './wal-committer.ts';

export interface WayInput {
  readonly spool: WalSpool;
  /** Tells what of the log is in the repository. */
  readonly committer: WalCommitter;
  readonly signal: AbortSignal;
}

export interface CaptureWay {
  /**
   * Fills the spool until the signal aborts. WAL_DIVERGED: the server has another history; whatever else it throws is tried again,
   * with a new spool when `spool.failure` is set.
   */
  receive(input: WayInput & { readonly onEvent: (event: WalCaptureEvent) => void }): Promise<void>;
  /** Looks after what the way needs of the server until the signal aborts. Never rejects. */
  watch(signal: AbortSignal): Promise<void>;
  /** Prepares the emptied spool for another history, which is not on the timeline that was captured, where that can be known. */
  beginAnew(timeline: number, options: { readonly folder: string; readonly signal: AbortSignal }): Promise<void>;
  /** Takes what is there already, before capturing ends; afterwards the log may come in another way. */
  finish(input: WayInput): Promise<void>;
}
