// Memory and speed of the index: node packages/repository/scripts/measure-index.ts [million blobs] [--json]
// Prints the most memory that the process had beyond what it had before (while filling, and after packs()), and the mean
// processor time of lookups.

import { randomFillSync } from 'node:crypto';
import { BlobIndex } from '../src/blob-index/blob-index.ts';
import { compressedEntryBytes } from '../src/pack/pack-header.ts';

const blobs = Number(process.argv[2] ?? '10') * 1_000_000;
const blobsPerPack = 20;
const sampleEvery = blobs / 1_000_000;
const samples = 1_000_000;
const texts = 50_000;

const idOf = (ids: Buffer, number: number): Buffer => ids.subarray(number * 32, number * 32 + 32);
const peakMb = (): number => process.resourceUsage().maxRSS / 1024;
/** Processor time, so that other programs on the machine count little. */
const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

const known = Buffer.alloc(samples * 32).fill(1);
const unknown = randomFillSync(Buffer.alloc(samples * 32));
const ids = Buffer.alloc(blobsPerPack * 32);
const header = Buffer.alloc(blobsPerPack * compressedEntryBytes);
for (let entry = 0; entry < blobsPerPack; entry++) {
  header[entry * compressedEntryBytes] = 2;
  header.writeUInt32LE(700_000 + entry, entry * compressedEntryBytes + 1);
  header.writeUInt32LE(1_000_000 + entry, entry * compressedEntryBytes + 5);
}

function fill(index: BlobIndex): void {
  const packId = Buffer.alloc(32);
  for (let blob = 0; blob < blobs; blob += blobsPerPack) {
    randomFillSync(ids);
    randomFillSync(packId);
    for (let entry = 0; entry < blobsPerPack; entry++) {
      ids.copy(header, entry * compressedEntryBytes + 9, entry * 32, entry * 32 + 32);
      const number = blob + entry;
      if (number % sampleEvery === 0) ids.copy(known, (number / sampleEvery) * 32, entry * 32, entry * 32 + 32);
    }
    index.addPack(packId.toString('hex'), header);
  }
}

function measureUs(count: number, look: (number: number) => boolean): number {
  const start = cpuMs();
  for (let number = 0; number < count; number++) if (!look(number)) throw new Error(`wrong answer for ${number}`);
  return ((cpuMs() - start) * 1000) / count;
}

const index = new BlobIndex();
const before = peakMb();
const filling = cpuMs();
fill(index);
const fillSeconds = (cpuMs() - filling) / 1000;
const memoryMb = peakMb() - before;

const lookupsUs: Record<string, number> = {
  'has, known, bytes': measureUs(samples, (number) => index.has('data', idOf(known, number))),
  'has, unknown, bytes': measureUs(samples, (number) => !index.has('data', idOf(unknown, number))),
  'lookup, known, bytes': measureUs(samples, (number) => index.lookup('data', idOf(known, number)) !== undefined),
};
const toText = (source: Buffer): string[] =>
  Array.from({ length: texts }, (_, number) => idOf(source, number * 20).toString('hex'));
const knownTexts = toText(known);
const unknownTexts = toText(unknown);
lookupsUs['has, known, text'] = measureUs(texts, (number) => index.has('data', knownTexts[number]));
lookupsUs['has, unknown, text'] = measureUs(texts, (number) => !index.has('data', unknownTexts[number]));
lookupsUs['lookup, known, text'] = measureUs(texts, (number) => index.lookup('data', knownTexts[number]) !== undefined);

const listing = cpuMs();
let listed = 0;
for (const pack of index.packs()) listed += pack.blobs.length;
if (listed !== index.size) throw new Error('packs() left blobs out');
const packsSeconds = (cpuMs() - listing) / 1000;
const memoryWithPacksMb = peakMb() - before;

if (process.argv.includes('--json')) {
  process.stdout.write(`${JSON.stringify({ memoryMb, memoryWithPacksMb, fillSeconds, packsSeconds, lookupsUs })}\n`);
} else {
  const say = (what: string, value: number, unit: string): void =>
    void process.stdout.write(`${what.padEnd(32)} ${value.toFixed(2)} ${unit}\n`);
  say(`filled with ${index.size} blobs`, fillSeconds, 's');
  say('memory while filling', memoryMb, 'MB');
  say('a blob', (memoryMb * 1024 * 1024) / blobs, 'bytes');
  for (const [what, us] of Object.entries(lookupsUs)) say(what, us, 'µs');
  say('packs(), every blob', packsSeconds, 's');
  say('memory with packs()', memoryWithPacksMb, 'MB');
}
