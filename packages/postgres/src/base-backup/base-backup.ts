// A physical base backup over a replication session: parts as byte streams, pulled, so that a slow consumer slows the
// server. With the WAL included, the data directory that the parts make starts by itself.

import { randomBytes } from 'node:crypto';
import { AppError, isAppError, throwIfAborted, type OnProgress } from '@varve/base';
import type { PgConnection } from '../connection/connection.ts';
import type { Exchange } from '../connection/exchange.ts';
import { replicationHint } from '../connection/server-errors.ts';
import type { Lsn } from '../lsn.ts';
import { baseBackupCommand, newSyntaxVersion } from './base-backup-command.ts';
import { SuspectFiles } from './suspect-files.ts';
import { BackupStreamDecoder, type BackupEvent, type BackupTablespace } from './backup-stream.ts';

export interface BaseBackupOptions {
  /** Stands in backup_label. */
  readonly label: string;
  /** Checkpoint at once (more load) instead of spread over minutes. Default true. */
  readonly fastCheckpoint?: boolean | undefined;
  /** Include the WAL that makes the backup consistent. Default true. */
  readonly includeWal?: boolean | undefined;
  /** Include the server's manifest with SHA-256 of every file. Default true. */
  readonly includeManifest?: boolean | undefined;
  /** The server's own throttle, 32 to 1048576 kB/s. */
  readonly maxRateKBps?: number | undefined;
  /**
   * Servers from 17 on with `summarize_wal`: the manifest of an earlier backup; only blocks that changed since come of its relation
   * files, see `rebuildFile`. What the server refuses is thrown before the first part, and the session can be used for another.
   */
  readonly incrementalFrom?: Uint8Array | undefined;
  /** Gives up when the server sends nothing for this long once data flows. Default 5 min. */
  readonly stallTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** First `start`, then tablespaces, the data directory last, the manifest, and `end`, without which it is no backup. */
export type BaseBackupPart =
  | {
      readonly kind: 'start';
      readonly startLsn: Lsn;
      readonly timeline: number;
      readonly tablespaces: readonly BackupTablespace[];
    }
  | {
      readonly kind: 'archive';
      /** Null: the data directory. */
      readonly tablespaceOid: number | null;
      readonly tablespacePath: string | null;
      /** A whole, well-formed tar. Read it to its end before asking for the next part. */
      readonly tar: AsyncIterable<Uint8Array>;
    }
  | { readonly kind: 'manifest'; readonly json: AsyncIterable<Uint8Array> }
  | {
      readonly kind: 'end';
      readonly startLsn: Lsn;
      readonly endLsn: Lsn;
      readonly timeline: number;
      /** Files in which the server found pages with a wrong checksum: they are in the backup as they are on its disk. */
      readonly suspectFiles: readonly string[];
    };

const defaultStallTimeoutMs = 300_000;
const leastRateKBps = 32;
const greatestRateKBps = 1_048_576;
/** data_corrupted: what a base backup ends with when page checksums were wrong. */
const dataCorrupted = 'XX001';

/**
 * Runs BASE_BACKUP on a `replication: 'database'` session; servers 13 to 18. Leaving the iteration early, or a part that
 * was not read to its end, ends the backup on the server. Throws DATABASE_DENIED when the role may not replicate,
 * DATABASE_QUERY_FAILED (58P01: WAL was removed before it could be sent), DATABASE_UNREACHABLE, DATABASE_PROTOCOL, CANCELLED.
 * Wrong page checksums are no error: `end` names the files.
 */
export async function* baseBackup(
  connection: PgConnection,
  options: BaseBackupOptions,
): AsyncGenerator<BaseBackupPart, void, undefined> {
  throwIfAborted(options.signal);
  checkOptions(connection, options);
  const includeWal = options.includeWal ?? true;
  if (options.incrementalFrom !== undefined) await uploadManifest(connection, options.incrementalFrom, options.signal);
  const slot = includeWal ? await holdWal(connection, options.signal) : undefined;
  const command = baseBackupCommand(
    {
      label: options.label,
      fastCheckpoint: options.fastCheckpoint ?? true,
      includeWal,
      includeManifest: options.includeManifest ?? true,
      maxRateKBps: options.maxRateKBps,
      isIncremental: options.incrementalFrom !== undefined,
    },
    connection.versionNum,
  );
  const stallTimeoutMs = options.stallTimeoutMs ?? defaultStallTimeoutMs;
  const suspects = new SuspectFiles();
  const exchange = connection.exchange(command, {
    signal: options.signal,
    stallTimeoutMs,
    onNotice: (report) => suspects.note(report),
  });
  // The wait for a spread checkpoint may last longer than any stall; the watch starts with the data.
  exchange.pauseStallWatch();
  const hasNewFraming = connection.versionNum >= newSyntaxVersion;
  const events = new EventReader(exchange, new BackupStreamDecoder({ hasNewFraming }), options.onProgress);
  try {
    yield* partsOf(events, exchange, suspects);
  } catch (error) {
    throw withReplicationHint(error, connection);
  } finally {
    await exchange.abandon();
    await releaseWal(connection, slot);
  }
}

async function uploadManifest(
  connection: PgConnection,
  manifest: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  await connection.copyIn('UPLOAD_MANIFEST', [manifest], { signal });
}

function checkOptions(connection: PgConnection, options: BaseBackupOptions): void {
  if (!connection.isReplication) {
    throw new AppError('USAGE_INVALID', 'A base backup needs a session with replication: database.');
  }
  const { maxRateKBps } = options;
  if (maxRateKBps === undefined) return;
  if (Number.isInteger(maxRateKBps) && maxRateKBps >= leastRateKBps && maxRateKBps <= greatestRateKBps) return;
  throw new AppError(
    'USAGE_INVALID',
    `The rate of a base backup is ${leastRateKBps} to ${greatestRateKBps} kB/s, not ${maxRateKBps}.`,
  );
}

async function* partsOf(
  events: EventReader,
  exchange: Exchange,
  suspects: SuspectFiles,
): AsyncGenerator<BaseBackupPart, void, undefined> {
  let startLsn: Lsn | undefined;
  for (let event = await events.next(); event; event = await events.next()) {
    switch (event.kind) {
      case 'start':
        startLsn = event.start.lsn;
        exchange.resumeStallWatch();
        yield { kind: 'start', startLsn, timeline: event.start.timeline, tablespaces: event.tablespaces };
        break;
      case 'archive':
        yield { kind: 'archive', tablespaceOid: event.oid, tablespacePath: event.path, tar: events.part() };
        events.assertPartRead();
        break;
      case 'manifest':
        yield { kind: 'manifest', json: events.part() };
        events.assertPartRead();
        break;
      case 'end':
        if (startLsn === undefined) throw incomplete();
        await assertLast(events, suspects);
        yield {
          kind: 'end',
          startLsn,
          endLsn: event.end.lsn,
          timeline: event.end.timeline,
          suspectFiles: suspects.files,
        };
        return;
      default:
        throw incomplete();
    }
  }
  throw incomplete();
}

/**
 * What follows the end may still be an error. That of wrong page checksums comes when everything has been sent, and is the
 * server's verdict on its own disk, not on the backup.
 */
async function assertLast(events: EventReader, suspects: SuspectFiles): Promise<void> {
  let next: BackupEvent | undefined;
  try {
    next = await events.next();
  } catch (error) {
    if (isAppError(error) && error.context['sqlState'] === dataCorrupted && suspects.files.length > 0) return;
    throw error;
  }
  if (next !== undefined) throw incomplete();
}

function incomplete(): AppError {
  return new AppError('DATABASE_PROTOCOL', 'The server ended the base backup before it was whole.', { retry: true });
}

/** Reads events of the stream, keeps count, and hands out the bytes of one part at a time. */
class EventReader {
  readonly #exchange: Exchange;
  readonly #decoder: BackupStreamDecoder;
  readonly #onProgress: OnProgress | undefined;
  #pending: BackupEvent[] = [];
  #isPartOpen = false;
  #archivesDone = 0;
  #archivesTotal: number | undefined;
  #bytesDone = 0;
  #bytesTotal: number | undefined;
  #current: string | undefined;

  constructor(exchange: Exchange, decoder: BackupStreamDecoder, onProgress: OnProgress | undefined) {
    this.#exchange = exchange;
    this.#decoder = decoder;
    this.#onProgress = onProgress;
  }

  async next(): Promise<BackupEvent | undefined> {
    for (;;) {
      const event = this.#pending.shift();
      if (event) {
        this.#note(event);
        if (event.kind !== 'progress') return event;
        continue;
      }
      const message = this.#exchange.poll() ?? (await this.#exchange.next());
      if (!message) return undefined;
      this.#pending = this.#decoder.push(message);
    }
  }

  /** The bytes up to the end of the open part. */
  async *part(): AsyncGenerator<Uint8Array, void, undefined> {
    this.#isPartOpen = true;
    for (let event = await this.next(); event; event = await this.next()) {
      if (event.kind === 'data') {
        yield event.data;
      } else if (event.kind === 'part-end') {
        this.#isPartOpen = false;
        return;
      } else {
        throw incomplete();
      }
    }
    throw incomplete();
  }

  assertPartRead(): void {
    if (!this.#isPartOpen) return;
    throw new AppError(
      'USAGE_INVALID',
      'A part of a base backup was not read to its end before the next was asked for.',
    );
  }

  #note(event: BackupEvent): void {
    switch (event.kind) {
      case 'start': {
        const sizes = event.tablespaces.map((tablespace) => tablespace.sizeBytes);
        this.#archivesTotal = event.tablespaces.length;
        if (sizes.every((size) => size !== undefined)) this.#bytesTotal = sizes.reduce((sum, size) => sum + size, 0);
        break;
      }
      case 'archive':
        this.#isPartOpen = true;
        this.#current = event.path ?? 'data directory';
        break;
      case 'manifest':
        this.#isPartOpen = true;
        this.#current = 'manifest';
        break;
      case 'data':
        this.#bytesDone += event.data.length;
        break;
      case 'part-end':
        if (this.#current !== 'manifest') this.#archivesDone++;
        break;
      default:
        break;
    }
    if (event.kind !== 'end') this.#report();
  }

  #report(): void {
    // The total is an estimate made before the data flowed.
    const bytesTotal = this.#bytesTotal === undefined ? undefined : Math.max(this.#bytesTotal, this.#bytesDone);
    this.#onProgress?.({
      filesDone: this.#archivesDone,
      filesTotal: this.#archivesTotal,
      bytesDone: this.#bytesDone,
      bytesTotal,
      current: this.#current,
    });
  }
}

/**
 * Keeps the server from removing WAL that the backup still needs, by a slot that ends with the session. Where no slot is
 * free the backup goes on without: the server itself fails it when WAL was removed too early.
 */
async function holdWal(connection: PgConnection, signal: AbortSignal | undefined): Promise<string | undefined> {
  const slot = `varve_base_${randomBytes(6).toString('hex')}`;
  try {
    await connection.query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY PHYSICAL RESERVE_WAL`, { signal });
    return slot;
  } catch (error) {
    if (isAppError(error, 'DATABASE_QUERY_FAILED')) return undefined;
    throw withReplicationHint(error, connection);
  }
}

/** The slot would also go with the session; a session that is lost or failed has dropped it already. */
async function releaseWal(connection: PgConnection, slot: string | undefined): Promise<void> {
  if (slot === undefined) return;
  try {
    await connection.query(`DROP_REPLICATION_SLOT ${slot}`);
  } catch (error) {
    if (!isAppError(error)) throw error;
  }
}

function withReplicationHint(error: unknown, connection: PgConnection): unknown {
  if (!isAppError(error, 'DATABASE_DENIED')) return error;
  const { message, context } = error;
  return new AppError('DATABASE_DENIED', message, {
    hint: replicationHint(connection.server.user),
    context,
    cause: error,
  });
}
