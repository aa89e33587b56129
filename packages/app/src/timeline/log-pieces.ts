// The log along a way, in pieces without a hole. A recovering server reads the segment in which a timeline begins from the
// later timeline's file, so that file counts for what lies before the switch too.

import { lsnFromBigInt, type Lsn } from '@varve/postgres';
import { columnsPerSegment, type BlockFacts } from './block-facts.ts';
import type { WayStep } from './lineage.ts';

/** The part of a block that belongs to a piece: its segments [firstIndex, endIndex). */
export interface PiecePart {
  readonly block: BlockFacts;
  readonly firstIndex: number;
  endIndex: number;
}

export interface Piece {
  readonly startLsn: Lsn;
  /** Behind the last byte, and behind the last whole record. */
  endLsn: Lsn;
  replayableLsn: Lsn;
  readonly parts: PiecePart[];
  /** What is said to be missing before it, by the block that begins it. */
  readonly gap: BlockFacts['gap'];
}

/** `blocks` are those of one cluster, each stretch once. */
export function piecesAlong(way: readonly WayStep[], blocks: readonly BlockFacts[]): Piece[] {
  const limits = limitsOf(way, blocks);
  const onWay = [...limits.keys()].toSorted(inOrderOfTheLog);
  const pieces: Piece[] = [];
  for (const block of onWay) {
    const limit = limits.get(block);
    const endLsn = earlier(block.endLsn, limit);
    const replayableLsn = earlier(block.replayableLsn, limit);
    const piece = pieces.at(-1);
    if (piece && continues(piece, block)) extend(piece, block, { endLsn, replayableLsn });
    else {
      const part = { block, firstIndex: 0, endIndex: segmentsBefore(block, endLsn) };
      pieces.push({ startLsn: block.startLsn, endLsn, replayableLsn, parts: [part], gap: block.gap });
    }
  }
  return pieces;
}

/**
 * The blocks of a way, and up to where each counts: to where the way leaves its timeline, and to where a server that was set back
 * without a new timeline began to write anew.
 */
function limitsOf(way: readonly WayStep[], blocks: readonly BlockFacts[]): Map<BlockFacts, Lsn | undefined> {
  const steps = new Map(way.map(({ timeline, until }) => [timeline, until]));
  const rewound = blocks.filter(({ gap }) => gap?.reason === 'diverged');
  const limits = new Map<BlockFacts, Lsn | undefined>();
  for (const block of blocks) {
    if (!steps.has(block.timeline)) continue;
    let limit = steps.get(block.timeline);
    for (const { timeline, startLsn, startedAtMs } of rewound) {
      const wroteAnew = timeline === block.timeline && startedAtMs > block.startedAtMs;
      if (wroteAnew) limit = earlier(startLsn, limit);
    }
    if (isBefore(block.startLsn, limit)) limits.set(block, limit);
  }
  return limits;
}

/** One block by itself. */
export function pieceOf(block: BlockFacts): Piece {
  const { startLsn, endLsn, replayableLsn, gap } = block;
  const part = { block, firstIndex: 0, endIndex: block.segments.length / columnsPerSegment };
  return { startLsn, endLsn, replayableLsn, parts: [part], gap };
}

/** Bytes that follow without a hole lose nothing, whatever the connection went through; a rewound server wrote others. */
function continues(piece: Piece, block: BlockFacts): boolean {
  return block.startLsn <= piece.endLsn && block.gap?.reason !== 'diverged';
}

function extend(
  piece: Piece,
  block: BlockFacts,
  { endLsn, replayableLsn }: { readonly endLsn: Lsn; readonly replayableLsn: Lsn },
): void {
  if (endLsn < piece.endLsn) return;
  for (let part = piece.parts.at(-1); part; part = piece.parts.at(-1)) {
    part.endIndex = Math.min(part.endIndex, segmentsBefore(part.block, block.startLsn));
    if (part.endIndex > part.firstIndex) break;
    piece.parts.pop();
  }
  piece.parts.push({ block, firstIndex: 0, endIndex: segmentsBefore(block, endLsn) });
  piece.endLsn = endLsn;
  piece.replayableLsn = replayableLsn;
}

/** How many segments of the block begin before a position. */
function segmentsBefore(block: BlockFacts, lsn: Lsn): number {
  const count = block.segments.length / columnsPerSegment;
  if (lsn <= block.startLsn) return 0;
  const bytes = Number(lsn - block.startLsn);
  return Math.min(count, Math.ceil(bytes / block.segmentBytes));
}

function inOrderOfTheLog(a: BlockFacts, b: BlockFacts): number {
  if (a.startLsn !== b.startLsn) return a.startLsn < b.startLsn ? -1 : 1;
  return a.timeline - b.timeline;
}

function isBefore(lsn: Lsn, limit: Lsn | undefined): boolean {
  return limit === undefined || lsn < limit;
}

function earlier(lsn: Lsn, limit: Lsn | undefined): Lsn {
  return limit !== undefined && limit < lsn ? limit : lsn;
}

/** The later of two positions. */
export function later(a: Lsn, b: Lsn): Lsn {
  return a > b ? a : b;
}

/** Start of a block's segment. */
export function segmentStartOf(block: BlockFacts, index: number): Lsn {
  return lsnFromBigInt(block.startLsn + BigInt(index) * BigInt(block.segmentBytes));
}
