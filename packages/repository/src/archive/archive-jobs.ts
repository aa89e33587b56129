// What is done with the jobs of an archive, in a worker thread or in the thread that asks: reads, cuts, hashes, compresses, seals
// and packs.

import { AppError } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import { BlobIndex } from '../blob-index/blob-index.ts';
import { Chunker } from '../chunker/chunker.ts';
import { MasterKey } from '../crypto/master-key.ts';
import { FolderLister } from '../filesystem/folder-listing.ts';
import type { Libc } from '../filesystem/libc.ts';
import { UserNames } from '../filesystem/user-names.ts';
import { TimeFormatter } from '../tree/go-time.ts';
import { BlobWriter, type BlobWriterOptions } from './blob-writer.ts';
import { FileSaver } from './file-saver.ts';
import { FolderSaver } from './folder-saver.ts';
import { PageChecks } from './live-files.ts';
import { savePageRange, type PageRangeOptions } from './page-range.ts';
import { noCounts, type Job, type JobResult, type WorkerSetup } from './worker-protocol.ts';

export interface ArchiveJobsOptions extends Pick<BlobWriterOptions, 'engine' | 'onPack' | 'onPart'> {
  readonly libc: Libc | undefined;
  /** Made when it is needed unless given. */
  readonly lister?: FolderLister | undefined;
  /** Called when everything is packed and nothing more comes. */
  readonly onFlushed?: (() => void) | undefined;
  /** Throws CANCELLED when the archive was aborted. */
  readonly throwIfAborted: () => void;
}

/** Prepares for jobs; yields the function that does one. It throws what goes wrong. */
export function archiveJobs(setup: WorkerSetup, options: ArchiveJobsOptions): (job: Job) => JobResult {
  const { engine, libc, onPack, onPart, onFlushed, throwIfAborted } = options;
  const key = MasterKey.fromParts(setup.key);
  if (!key) throw new AppError('INTERNAL', 'The key that a worker thread got is not valid.');
  const index = BlobIndex.attach(setup.index);
  const claims = new BlobClaims(index, setup.claims);
  const { compression, packSizeBytes, comparison, tellsItems, withAccessTimes, extraVerify } = setup;
  const writer = new BlobWriter({ engine, key, claims, compression, packSizeBytes, extraVerify, onPack, onPart });
  const checks = new PageChecks();
  const makeFolders = (): FolderSaver => {
    const reader = { libc, times: new TimeFormatter(), users: new UserNames(), withAccessTimes };
    const chunker = new Chunker(setup.polynomial);
    const files = new FileSaver({ chunker, writer, reader, checks, throwIfAborted });
    const lister = options.lister ?? new FolderLister();
    return new FolderSaver({ files, writer, index, reader, lister, throwIfAborted, comparison, tellsItems });
  };
  // An archive of streams needs none of it.
  let made: FolderSaver | undefined;
  const folders = (): FolderSaver => (made ??= makeFolders());
  return (job) => {
    throwIfAborted();
    return run(job, { writer, folders, checks, onFlushed, throwIfAborted });
  };
}

interface Savers extends PageRangeOptions {
  readonly folders: () => FolderSaver;
  readonly onFlushed: (() => void) | undefined;
}

function run(job: Job, saver: Savers): JobResult {
  const { writer, folders } = saver;
  switch (job.kind) {
    case 'folders':
      return { kind: 'folders', folders: job.folders.map((folder) => folders().saveFolder(folder)) };
    case 'files':
      return folders().saveFiles(job);
    case 'blob': {
      const counts = noCounts();
      const id = job.id ?? writer.hash(job.bytes);
      if (job.id) writer.storeClaimed(job.type, id, job.bytes, counts);
      else writer.store(job.type, id, job.bytes, counts);
      return { kind: 'blob', id: Buffer.from(id).toString('hex'), counts };
    }
    case 'pages': {
      const counts = noCounts();
      return { kind: 'pages', ids: writer.storePages(job.bytes, job.chunkBytes, counts), counts };
    }
    case 'range':
      return savePageRange(job, saver);
    case 'flush':
      writer.flush();
      saver.onFlushed?.();
      return { kind: 'flush' };
  }
}
