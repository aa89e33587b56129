// WAL that came and is not written yet, in order and without holes.

import assert from 'node:assert';
import type { Lsn } from '../../lsn.ts';
import { advance, offsetInSegment } from '../../wal/segments.ts';

/** Bytes at a position. */
export interface WalPiece {
  readonly lsn: Lsn;
  readonly bytes: Uint8Array;
}

/** Bytes of one write: not all at once for a slow disk. */
const groupLimitBytes = 4 << 20;

export class PendingWal {
  #pieces: WalPiece[] = [];

  add(piece: WalPiece): void {
    this.#pieces.push(piece);
  }

  /** Takes the next bytes, up to a limit or the end of their segment, in one piece. There must be some. */
  take(segmentBytes: number): WalPiece {
    const first = this.#pieces[0];
    assert(first, 'a group has bytes');
    const limit = Math.min(groupLimitBytes, segmentBytes - offsetInSegment(first.lsn, segmentBytes));
    const taken: Uint8Array[] = [];
    let takenBytes = 0;
    let count = 0;
    for (const { lsn, bytes } of this.#pieces) {
      const room = limit - takenBytes;
      if (room === 0) break;
      if (bytes.length > room) {
        taken.push(bytes.subarray(0, room));
        takenBytes += room;
        this.#pieces[count] = { lsn: advance(lsn, room), bytes: bytes.subarray(room) };
        break;
      }
      taken.push(bytes);
      takenBytes += bytes.length;
      count++;
    }
    this.#pieces.splice(0, count);
    return { lsn: first.lsn, bytes: Buffer.concat(taken, takenBytes) };
  }
}
