// Which stretch of the log is lost, when a recovery met a part that the repository does not give back: from the first byte that
// cannot be read to where it is whole again. Reads no more than the lost segments and one on either side.

import { AppError } from '@varve/base';
import { formatLsn, formatUnixMicros, type Lsn, type WaySegment } from '@varve/postgres';
import { isLost } from '../repositories/is-lost.ts';
import type { LogSegment } from './recovery-log.ts';

interface LostLogInput {
  /** Those of the way, in their order. */
  readonly segments: readonly WaySegment[];
  readonly stored: ReadonlyMap<string, LogSegment>;
  /** Segments that could not be read. */
  readonly failed: ReadonlySet<string>;
  readonly signal: AbortSignal;
}

/** The same failure with the stretch in its message; as it is when no segment of the way was at fault. */
export async function nameLostLog(failure: AppError, input: LostLogInput): Promise<AppError> {
  const { segments, stored, failed, signal } = input;
  const met = segments.findIndex(({ name }) => failed.has(name));
  if (met < 0 || (await isWhole(segments[met], stored, signal))) return failure;
  let first = met;
  while (first > 0 && !(await isWhole(segments[first - 1], stored, signal))) first--;
  let next = met + 1;
  while (next < segments.length && !(await isWhole(segments[next], stored, signal))) next++;
  const segment = segments[first] as WaySegment;
  const readable = await readableBytes(stored.get(segment.name), segment.bytes, signal);
  const from = formatLsn((segment.startLsn + BigInt(readable)) as Lsn);
  const to = formatLsn(segments[next]?.startLsn ?? segments.at(-1)?.endLsn ?? segment.endLsn);
  const names = segments.slice(first, next).map(({ name }) => name);
  const which = names.length === 1 ? `segment ${names[0]}` : `segments ${names[0]} to ${names.at(-1)}`;
  return new AppError(
    'REPOSITORY_DAMAGED',
    `The log from ${from} to ${to} (${which}) is lost in the repository: ${failure.message}`,
    { hint: hintBefore(segments.slice(0, first)), context: { from, to, segments: names }, cause: failure },
  );
}

function hintBefore(whole: readonly WaySegment[]): string {
  const micros = whole.findLast(({ facts }) => facts?.lastCommitUnixMicros !== undefined)?.facts?.lastCommitUnixMicros;
  // At that commit itself it would have to be known that no other one follows.
  const point = micros === undefined ? 'it' : formatUnixMicros(micros);
  return `Recover to a point before ${point}, or to one behind a base backup that was made after it. varve repo check tells what else is damaged.`;
}

/** Whether the repository gives back all of a segment. */
export async function isWhole(
  segment: WaySegment | undefined,
  stored: ReadonlyMap<string, LogSegment>,
  signal: AbortSignal,
): Promise<boolean> {
  return (
    segment !== undefined && (await readableBytes(stored.get(segment.name), segment.bytes, signal)) === segment.bytes
  );
}

/** A segment's bytes; when a part is lost, the error names the stretch. */
export async function* namingLostLog(
  bytes: AsyncIterable<Uint8Array>,
  input: Omit<LostLogInput, 'failed'> & { readonly name: string },
): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes;
  } catch (error) {
    if (!isLost(error)) throw error;
    throw await nameLostLog(error, { ...input, failed: new Set([input.name]) });
  }
}

/** How many bytes come before one that is lost, at most `bytes`. */
async function readableBytes(segment: LogSegment | undefined, bytes: number, signal: AbortSignal): Promise<number> {
  let read = 0;
  try {
    for await (const piece of segment?.open(signal) ?? []) read += piece.length;
  } catch (error) {
    if (!isLost(error)) throw error;
  }
  return Math.min(read, bytes);
}
