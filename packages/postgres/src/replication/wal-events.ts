// What a receiver tells while it runs. Nothing is logged inside; whoever listens decides what is shown, kept or alarmed.

import type { AppError } from '@varve/base';
import type { Lsn } from '../lsn.ts';
import type { WalPosition } from '../wal/segments.ts';
import type { WalSource } from './cluster.ts';
import type { SlotFacts } from './slots.ts';
import type { SpoolSegment } from './spool/spool-folder.ts';
import type { SpoolBlock } from './spool/spool-space.ts';

export interface WalProgress {
  readonly timeline: number;
  /** Everything before has arrived. */
  readonly received: Lsn;
  /** Everything before would survive the loss of the server. */
  readonly durable: Lsn;
  /** End of the WAL on the server, as last heard. */
  readonly serverEnd: Lsn;
  /** What the server has and is not durable here. */
  readonly lagBytes: number;
  /** How long ago everything the server had was durable here; 0 while that is so. */
  readonly lagMs: number;
  /** False between connections. */
  readonly isConnected: boolean;
}

/** Why WAL may be missing: it is gone from the server, or the slot that held it is, or it never came into an archive folder. */
export type GapReason = 'wal-removed' | 'slot-missing' | 'slot-lost' | 'archive-missing';

export type WalEvent =
  | { readonly kind: 'slot'; readonly slot: SlotFacts; readonly isNew: boolean }
  | { readonly kind: 'streaming'; readonly start: WalPosition; readonly source: WalSource }
  | ({ readonly kind: 'progress' } & WalProgress)
  | { readonly kind: 'segment-complete'; readonly segment: SpoolSegment }
  | {
      readonly kind: 'timeline';
      readonly from: number;
      readonly to: number;
      /** Where the new timeline leaves the old one. */
      readonly lsn: Lsn;
      /** End of what is here of the old timeline; more than `lsn` when the old primary had written on. */
      readonly oldEnd: Lsn;
      readonly historyPath: string;
    }
  | {
      readonly kind: 'gap';
      readonly reason: GapReason;
      /** End of what was captured. */
      readonly from: WalPosition;
      /** Where capturing goes on; undefined: it does not, the receiver ends with an error. */
      readonly to: WalPosition | undefined;
      readonly error: AppError;
    }
  | { readonly kind: 'reconnecting'; readonly error: AppError; readonly attempt: number; readonly delayMs: number }
  | { readonly kind: 'blocked'; readonly block: SpoolBlock }
  | { readonly kind: 'unblocked' };
