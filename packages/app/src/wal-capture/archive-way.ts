// Log that the server's own archive_command copies into a folder. It is taken from there into the spool, and removed from the folder
// when it is in the repository. No connection is needed for that; where there is one, it tells whether archiving is on, whether the
// command fails, and up to when the repository is complete: the server has left nothing behind but what archive_timeout allows.

import { AppError, isAppError, sleep, type Clock } from '@varve/base';
import type { WalArchive } from '@varve/contract';
import {
  archiveObstacles,
  isArchiverFailing,
  parseWalFileName,
  readArchiveFacts,
  segmentStart,
  takeArchivedWal,
  type ArchiveFacts,
  type PgConnection,
  type WalPosition,
} from '@varve/postgres';
import type { Repository } from '@varve/repository';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';
import { archiveSpace } from './archive-place.ts';
import { FolderKeeper } from './archive-keeper.ts';
import type { CaptureStatus } from './capture-status.ts';
import type { CaptureWay, WayInput } from './capture-way.ts';

export interface ArchiveWayOptions {
  readonly owner: WalOwner;
  readonly archive: WalArchive;
  /** Where the folder is seen from here. */
  readonly place: (signal: AbortSignal) => Promise<string>;
  /** A session with the server, for SQL only. */
  readonly connect: (signal: AbortSignal) => Promise<PgConnection>;
  readonly repository: () => Promise<Repository>;
  readonly status: CaptureStatus;
  readonly clock: Clock;
  /** How long a segment may be missing while later ones are there. */
  readonly gapGraceMs?: number | undefined;
  /** How often the folder is looked at. */
  readonly pollMs?: number | undefined;
}

const watchMs = 10_000;

export class ArchiveWay implements CaptureWay {
  readonly #options: ArchiveWayOptions;
  #systemId: string | undefined;
  #segmentBytes: number | undefined;
  #begin: WalPosition | undefined;
  /** When the last commit in what is stored was made. */
  #latestAt: () => string | null = () => null;

  constructor(options: ArchiveWayOptions) {
    this.#options = options;
  }

  async receive({ onEvent, ...input }: Parameters<CaptureWay['receive']>[0]): Promise<void> {
    this.#latestAt = () => input.committer.latestAt;
    await this.#take(input, { onEvent });
  }

  /** Before log comes in another way, what is in the folder is taken: it may be gone from the server. */
  async finish(input: WayInput): Promise<void> {
    await this.#take(input, { once: true });
  }

  async beginAnew(): Promise<void> {
    // The spool begins with the file that showed that the history is another one: see `#take`.
  }

  async #take(
    { spool, committer, signal }: WayInput,
    options: Pick<Parameters<typeof takeArchivedWal>[0], 'onEvent' | 'once'>,
  ): Promise<void> {
    const { owner, repository, place, gapGraceMs, pollMs } = this.#options;
    const folder = await place(signal);
    this.#options.status.noteArchive({ readFrom: folder });
    const systemId = (): string | undefined => this.#systemId;
    const keeper = new FolderKeeper({
      owner,
      repository,
      committer,
      spoolFolder: spool.folder,
      systemId,
      onDiverged: (name) => this.#noteDiverged(name, spool.state?.segmentBytes),
      signal,
    });
    await takeArchivedWal({
      ...options,
      folder: () => Promise.resolve(folder),
      spool,
      keeper,
      history: (timeline) => this.#history(timeline, signal),
      systemId,
      begin: this.#begin,
      gapGraceMs,
      pollMs,
      signal,
    });
  }

  #noteDiverged(name: string, segmentBytes: number | undefined): void {
    const file = segmentBytes === undefined ? undefined : parseWalFileName(name, segmentBytes);
    if (file?.kind === 'segment') this.#begin = { timeline: file.timeline, lsn: file.startLsn };
  }

  async watch(signal: AbortSignal): Promise<void> {
    const { status } = this.#options;
    for (;;) {
      try {
        await using connection = await this.#options.connect(signal);
        for (;;) {
          this.#note(await readArchiveFacts(connection, { signal }));
          await this.#noteSpace(signal);
          await sleep(watchMs, { signal });
        }
      } catch (error) {
        if (signal.aborted) return;
        status.serverProblem({ isStopped: false, error });
      }
      await this.#noteSpace(signal);
      await sleep(watchMs, { signal }).catch(() => {});
      if (signal.aborted) return;
    }
  }

  #note(facts: ArchiveFacts): void {
    const { status, archive, clock } = this.#options;
    const checkedAt = clock.now();
    this.#systemId = facts.systemId;
    this.#segmentBytes = facts.segmentBytes;
    status.noteServerVersion(facts.version);
    status.noteArchive({
      server: {
        checkedAt: checkedAt.toISOString(),
        mode: facts.mode,
        hasCommand: facts.command !== undefined || facts.library !== undefined,
        timeoutSeconds: facts.timeoutSeconds,
        lastArchivedAt: facts.lastArchivedAt?.toISOString() ?? null,
        lastFailedAt: facts.lastFailedAt?.toISOString() ?? null,
        isFailing: isArchiverFailing(facts),
      },
    });
    const blocking = archiveObstacles(facts, archive.directory).find(({ severity }) => severity === 'blocks');
    status.serverProblem(
      blocking === undefined
        ? null
        : {
            isStopped: true,
            error: new AppError('WAL_ARCHIVE_FAILED', `No log comes: ${blocking.message}.`, { hint: blocking.hint }),
          },
    );
    if (facts.position !== undefined && facts.segmentBytes > 0) this.#hear(facts, checkedAt);
  }

  /**
   * When all segments before the one that is written now are stored, nothing is missing but what that one has: changes that are no
   * older than archive_timeout. Without it they may have any age, and what is known is the time of the last commit that is stored.
   */
  #hear({ position, segmentBytes, timeoutSeconds }: ArchiveFacts, checkedAt: Date): void {
    const { status } = this.#options;
    if (position === undefined) return;
    const { timeline, lsn } = position;
    const at =
      timeoutSeconds === 0 ? this.#latestAt() : new Date(checkedAt.getTime() - timeoutSeconds * 1000).toISOString();
    status.noteServerEnd(position);
    if (at !== null) status.hear({ timeline, lsn: segmentStart(lsn, segmentBytes), at });
  }

  async #noteSpace(signal: AbortSignal): Promise<void> {
    const { status, place } = this.#options;
    try {
      const readFrom = await place(signal);
      status.noteArchive({ readFrom, ...(await archiveSpace(readFrom, this.#segmentBytes ?? 0)) });
    } catch {
      // Whoever takes from the folder tells why it cannot be used.
    }
  }

  /** Of the server's own pg_wal, where the user may read it. */
  async #history(timeline: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const name = timeline.toString(16).toUpperCase().padStart(8, '0');
    try {
      await using connection = await this.#options.connect(signal);
      const [result] = await connection.query(
        `select pg_catalog.encode(pg_catalog.pg_read_binary_file('pg_wal/${name}.history', 0, 1048576, true), 'hex')`,
        { signal },
      );
      const hex = result?.rows[0]?.[0];
      return typeof hex === 'string' && hex !== '' ? Buffer.from(hex, 'hex') : undefined;
    } catch (error) {
      if (!isAppError(error) || isAppError(error, 'CANCELLED')) throw error;
      return undefined;
    }
  }
}
