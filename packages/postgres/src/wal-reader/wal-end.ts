// Where and why readable WAL ends.

import type { Lsn } from '../lsn.ts';

/**
 * `end-of-input`: there were no more bytes. `zeros`: nothing was written from here on, the usual end of a segment in use.
 * A recycled segment in use ends with `wrong-page-address` or `wrong-previous` as well; the others are damage, or another
 * cluster's file, or a version that is not understood.
 */
export type WalEndReason =
  | 'end-of-input'
  | 'zeros'
  | 'bad-length'
  | 'bad-crc'
  | 'wrong-previous'
  | 'wrong-magic'
  | 'wrong-page-flags'
  | 'wrong-page-address'
  | 'wrong-timeline'
  | 'wrong-system'
  | 'wrong-geometry'
  | 'broken-continuation'
  | 'unreadable-record';

export interface WalEnd {
  readonly reason: WalEndReason;
  /** End of the last valid record; where reading goes on when more is there. */
  readonly lsn: Lsn;
  /** The page or record that is not valid, or the end of the input. */
  readonly faultLsn: Lsn;
  /** A sentence without its subject, for people: `the CRC of the record at 0/1500028 is wrong`. */
  readonly detail: string;
}

/** A fault before it is known where the last valid record ended. */
export interface WalFault {
  readonly reason: WalEndReason;
  readonly detail: string;
}
