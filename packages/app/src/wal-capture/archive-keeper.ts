// Removes from an archive folder what is in the repository, and nothing else. What this process took itself is known; of other files,
// which a killed process left or the server archived twice, every byte is compared with what was captured under the same name.

import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError, systemErrorCode } from '@varve/base';
import {
  archiveDiverged,
  archiveFailure,
  findArchived,
  historyFileName,
  otherCluster,
  parseWalFileName,
  readArchivedHeader,
  segmentNameAt,
  type ArchivedFile,
  type ArchiveKeeper,
} from '@varve/postgres';
import type { Repository } from '@varve/repository';
import { WalArchive } from '../wal-archive/wal-archive.ts';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';
import type { WalCommitter } from './wal-committer.ts';

export interface FolderKeeperOptions {
  readonly owner: WalOwner;
  readonly repository: () => Promise<Repository>;
  readonly committer: Pick<WalCommitter, 'storedBytesOf' | 'committed' | 'storedHistories'>;
  /** Of the spool, where what was taken and is not stored yet lies. */
  readonly spoolFolder: string;
  /** The cluster that the server says it is, when it was asked. */
  readonly systemId: () => string | undefined;
  /** Called with the file that shows that the server has another history. */
  readonly onDiverged: (name: string) => void;
  readonly signal: AbortSignal;
}

type Behind = Parameters<ArchiveKeeper['settle']>[0];

export class FolderKeeper implements ArchiveKeeper {
  readonly #options: FolderKeeperOptions;
  /** By name: taken by this process, and so the same as what is stored, or found to be so. */
  readonly #known = new Map<string, string>();
  /** By name: what is behind, and was never captured. It stays for people to look at. */
  readonly #strays = new Map<string, string>();

  constructor(options: FolderKeeperOptions) {
    this.#options = options;
  }

  took(file: ArchivedFile): void {
    this.#known.set(file.name, markOf(file));
  }

  async settle(behind: Behind): Promise<void> {
    const { committer, signal } = this.#options;
    const unknown: ArchivedFile[] = [];
    for (const name of behind.segments) {
      signal.throwIfAborted();
      const file = await findArchived(behind.folder, name);
      if (!file || this.#strays.get(name) === markOf(file)) continue;
      if (this.#known.get(name) !== markOf(file)) unknown.push(file);
      else if (committer.storedBytesOf(name) === behind.state.segmentBytes) await this.#remove(file);
    }
    await this.#judge(unknown, behind);
    for (const name of behind.partials) await this.#settlePartial(name, behind);
    for (const timeline of behind.histories) await this.#settleHistory(timeline, behind);
  }

  /** Files that this process did not take. What leaves the spool is stored by then, so the spool is looked at first. */
  async #judge(files: readonly ArchivedFile[], behind: Behind): Promise<void> {
    const absent: ArchivedFile[] = [];
    for (const file of files) {
      await this.#assertSameCluster(file, behind);
      if (await this.#isInSpool(file)) this.#known.set(file.name, markOf(file));
      else absent.push(file);
    }
    if (absent.length === 0) return;
    const archive = await this.#openArchive();
    for (const file of absent) {
      this.#options.signal.throwIfAborted();
      if (await this.#isStored(file, archive, behind)) await this.#remove(file);
      else this.#strays.set(file.name, markOf(file));
    }
  }

  async #assertSameCluster(file: ArchivedFile, { state }: Behind): Promise<void> {
    const header = await readArchivedHeader(file);
    if (!header || header.systemId === state.systemId) return;
    throw otherCluster(file, {
      systemId: header.systemId,
      captured: state.systemId,
      known: this.#options.systemId(),
    });
  }

  /** Whether what was taken under this name lies in the spool still; WAL_DIVERGED when that is something else. */
  async #isInSpool(file: ArchivedFile): Promise<boolean> {
    const path = join(this.#options.spoolFolder, file.name);
    if (!(await isThere(path))) return false;
    await this.#assertEqual(file, createReadStream(path));
    return true;
  }

  async #openArchive(): Promise<WalArchive> {
    const { owner, repository, signal } = this.#options;
    const opened = await repository();
    await opened.loadIndex({ signal });
    return WalArchive.open(opened, { ...owner, signal });
  }

  /** Whether this whole segment is in the repository; WAL_DIVERGED when another one is. */
  async #isStored(file: ArchivedFile, archive: WalArchive, { state }: Behind): Promise<boolean> {
    const segment = archive.segments(state.systemId).get(file.name);
    if (segment?.isComplete !== true || file.sizeBytes !== state.segmentBytes) return false;
    await this.#assertEqual(file, archive.read(segment, this.#options.signal));
    return true;
  }

  async #assertEqual(file: ArchivedFile, captured: AsyncIterable<Uint8Array>): Promise<void> {
    if (await hasBytes(file.path, captured)) return;
    this.#options.onDiverged(file.name);
    throw archiveDiverged(file);
  }

  /** What the old timeline had up to its end is in the first segment of the next one as well. */
  async #settlePartial(name: string, { folder, state }: Behind): Promise<void> {
    const { committer } = this.#options;
    const parsed = parseWalFileName(name, state.segmentBytes);
    if (parsed?.kind !== 'segment') return;
    const last = committer.committed?.timeline ?? 0;
    for (let timeline = parsed.timeline + 1; timeline <= last; timeline++) {
      const next = segmentNameAt({ timeline, lsn: parsed.startLsn }, state.segmentBytes);
      if (committer.storedBytesOf(next) !== state.segmentBytes) continue;
      const file = await findArchived(folder, name);
      if (file) await this.#remove(file);
      return;
    }
  }

  async #settleHistory(timeline: number, { folder }: Behind): Promise<void> {
    if (!this.#options.committer.storedHistories.includes(timeline)) return;
    const file = await findArchived(folder, historyFileName(timeline));
    if (file) await this.#remove(file);
  }

  async #remove({ name, path }: ArchivedFile): Promise<void> {
    this.#options.signal.throwIfAborted();
    try {
      await rm(path, { force: true });
    } catch (error) {
      throw archiveFailure(error, path);
    }
    this.#known.delete(name);
    this.#strays.delete(name);
  }
}

function markOf({ inode, modifiedMs, sizeBytes }: ArchivedFile): string {
  return `${inode} ${modifiedMs} ${sizeBytes}`;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Compares a file with a stream, byte for byte. */
async function hasBytes(path: string, expected: AsyncIterable<Uint8Array>): Promise<boolean> {
  const theirs = expected[Symbol.asyncIterator]();
  let rest: Uint8Array = Buffer.alloc(0);
  try {
    for await (const part of createReadStream(path) as AsyncIterable<Buffer>) {
      for (let offset = 0; offset < part.length;) {
        if (rest.length === 0) {
          const next = await theirs.next();
          if (next.done) return false;
          rest = next.value;
          continue;
        }
        const length = Math.min(rest.length, part.length - offset);
        if (part.compare(rest, 0, length, offset, offset + length) !== 0) return false;
        rest = rest.subarray(length);
        offset += length;
      }
    }
    return rest.length === 0 && (await theirs.next()).done === true;
  } catch (error) {
    if (isAppError(error) || systemErrorCode(error) === undefined) throw error;
    throw archiveFailure(error, path);
  } finally {
    await theirs.return?.();
  }
}
