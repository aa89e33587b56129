// A thread of blob-index-memory.test.ts: reads an index that another thread fills, and counts what it should have found.
// Every blob whose number is below the size that was read before the search has to be there, with all its copies in order.

import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { BlobIndex, type SharedBlobIndex } from '../src/blob-index/blob-index.ts';

const { shared, total } = workerData as { shared: SharedBlobIndex; total: number };
const index = BlobIndex.attach(shared);
const missed: number[] = [];
let searches = 0;
const port = parentPort;
port?.postMessage('ready');
for (let seen = 0; seen < total;) {
  seen = index.size;
  const steps = seen === 0 ? 0 : 200;
  for (let step = 0; step < steps; step++) {
    const number = Math.floor(Math.random() * seen);
    const id = createHash('sha256').update(`blob ${number}`).digest();
    const location = index.lookup('data', id);
    if (index.entryOf('data', id) !== number || location?.offset !== number) missed.push(number);
    if (index.has('tree', id)) missed.push(number);
    searches++;
  }
}
port?.postMessage({ searches, missed, packCount: index.packCount });
