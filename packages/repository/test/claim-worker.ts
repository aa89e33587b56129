// A thread of blob-index.test.ts: claims every blob and answers with the numbers of those that were granted.

import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { BlobClaims, type SharedBlobClaims } from '../src/blob-index/blob-claims.ts';
import { BlobIndex, type SharedBlobIndex } from '../src/blob-index/blob-index.ts';

const {
  index,
  claims: shared,
  count,
} = workerData as { index: SharedBlobIndex; claims: SharedBlobClaims; count: number };
const claims = new BlobClaims(BlobIndex.attach(index), shared);
const granted: number[] = [];
for (let number = 0; number < count; number++) {
  if (claims.claim('data', createHash('sha256').update(`blob ${number}`).digest())) granted.push(number);
}
const port = parentPort;
port?.postMessage(granted);
