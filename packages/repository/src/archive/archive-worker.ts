// Entry of an archive worker thread: reads, cuts, hashes, compresses, seals and packs; the main thread lists what to do and
// takes finished packs to the storage.

import { parentPort, type MessagePort } from 'node:worker_threads';
import { AppError } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import { BlobIndex } from '../blob-index/blob-index.ts';
import { Chunker } from '../chunker/chunker.ts';
import { MasterKey } from '../crypto/master-key.ts';
import { FolderLister } from '../filesystem/folder-listing.ts';
import { Libc } from '../filesystem/libc.ts';
import { UserNames } from '../filesystem/user-names.ts';
import { loadEngine } from '../native/load-engine.ts';
import type { FinishedPack, PackPart } from '../pack/pack-builder.ts';
import { serveJobs, type JobServer } from '../threads/serve-jobs.ts';
import type { ThreadMessage } from '../threads/thread-pool.ts';
import { TimeFormatter } from '../tree/go-time.ts';
import { BlobWriter } from './blob-writer.ts';
import { FileSaver } from './file-saver.ts';
import { FolderSaver } from './folder-saver.ts';
import { PageChecks } from './live-files.ts';
import { savePageRange, type PageRangeOptions } from './page-range.ts';
import {
  controlWords,
  noCounts,
  type ArchiveEvent,
  type Job,
  type JobResult,
  type WorkerSetup,
} from './worker-protocol.ts';

/** How often a thread that waits for room looks whether it was told to end. */
const waitMs = 500;

// Loaded while the main thread is still finding out what to do.
const engine = loadEngine();
const libc = Libc.load();
const lister = new FolderLister();

function start(port: MessagePort, setup: WorkerSetup): JobServer<Job, JobResult> {
  const control = new Int32Array(setup.control);
  const throwIfAborted = (): void => {
    if (Atomics.load(control, controlWords.aborted) !== 0) throw new AppError('CANCELLED', 'The archive was aborted.');
  };
  const onPack = (pack: FinishedPack): void => {
    for (;;) {
      throwIfAborted();
      const unstored = Atomics.load(control, controlWords.unstoredPacks);
      if (unstored < setup.maxUnstoredPacks) break;
      Atomics.wait(control, controlWords.unstoredPacks, unstored, waitMs);
    }
    Atomics.add(control, controlWords.unstoredPacks, 1);
    const message: ThreadMessage<never, ArchiveEvent> = { kind: 'event', event: { kind: 'pack', pack } };
    port.postMessage(message, [pack.bytes.buffer]);
  };
  const onPart = (part: PackPart): void => {
    const message: ThreadMessage<never, ArchiveEvent> = { kind: 'event', event: { kind: 'part', part } };
    port.postMessage(message, [part.bytes.buffer]);
  };
  const key = MasterKey.fromParts(setup.key);
  if (!key) throw new AppError('INTERNAL', 'The key that a worker thread got is not valid.');
  const index = BlobIndex.attach(setup.index);
  const claims = new BlobClaims(index, setup.claims);
  const { compression, packSizeBytes, comparison, tellsItems, withAccessTimes } = setup;
  const writer = new BlobWriter({ engine, key, claims, compression, packSizeBytes, onPack, onPart });
  const reader = { libc, times: new TimeFormatter(), users: new UserNames(), withAccessTimes };
  const chunker = new Chunker(setup.polynomial);
  const checks = new PageChecks();
  const files = new FileSaver({ chunker, writer, reader, checks, throwIfAborted });
  const folders = new FolderSaver({ files, writer, index, reader, lister, throwIfAborted, comparison, tellsItems });
  return {
    run: (job) => {
      throwIfAborted();
      return run(job, { writer, folders, checks, throwIfAborted });
    },
  };
}

function run(job: Job, saver: PageRangeOptions & { readonly folders: FolderSaver }): JobResult {
  const { writer, folders } = saver;
  switch (job.kind) {
    case 'folders':
      return { kind: 'folders', folders: job.folders.map((folder) => folders.saveFolder(folder)) };
    case 'files':
      return folders.saveFiles(job);
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
      // What a thread has from the C library outlives it.
      engine.release();
      return { kind: 'flush' };
  }
}

const port = parentPort;
if (port) serveJobs(port, (setup: WorkerSetup) => start(port, setup));
